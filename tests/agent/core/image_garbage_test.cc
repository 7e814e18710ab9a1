#include "agent/image/image_garbage.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agent/container/image_archive.h"
#include "agent/pool/container_slots.h"
#include "common/log/log.h"
#include "prometheus/counter.h"
#include "prometheus/registry.h"
#include "tests/agent/snapshot/sample_tree.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_container_runtime.h"
#include "tests/fakes/fake_images.h"

namespace thaw::agent {
namespace {

using Op = testing::FakeContainerRuntime::Op;

constexpr absl::Duration kKeep = absl::Minutes(10);

class ImageGarbageTest : public ::testing::Test {
 protected:
  ImageGarbageTest() { Restart(); }

  void Restart() {
    ImageGarbage::Options options;
    options.file = dir_.path() + "/images";
    options.keep = kKeep;
    garbage_ = std::make_unique<ImageGarbage>(
        options, ImageGarbage::Deps{runtime_, images_,
                                    [this](const std::string& id) { return needed_.contains(id); },
                                    [this] { return connected_; },
                                    [this](const std::string& id) { brought_again_.push_back(id); }, removed_,
                                    clock_, NullLogger()});
  }
  std::string Add(const std::string& tag) {
    ImageContent content;
    content.files = {{"of", tag}};
    if (!tag.empty()) content.tags = {tag};
    return runtime_.AddImage(content);
  }
  // An image that Thaw brought for a version.
  std::string Brought(const std::string& tag) {
    const std::string id = Add(tag);
    needed_.insert(id);
    garbage_->Noted(id, tag, /*brought=*/true);
    return id;
  }
  bool IsHere(const std::string& id) { return runtime_.InspectImage(id, absl::InfiniteFuture()).ok(); }
  // Long enough, with a look now and then.
  void LetTimePass() {
    for (int i = 0; i < 21; ++i) {
      garbage_->Sweep();
      clock_.Advance(kKeep / 20);
    }
  }
  void UseInContainer(const std::string& image_id) {
    ContainerSpec spec;
    spec.name = "user";
    spec.image_id = image_id;
    spec.command = {"/x"};
    ASSERT_TRUE(runtime_.Create(spec, absl::InfiniteFuture()).ok());
  }

  testing::TempDir dir_;
  testing::FakeClock clock_;
  testing::FakeContainerRuntime runtime_;
  testing::FakeImages images_;
  prometheus::Registry registry_;
  prometheus::Counter& removed_ = prometheus::BuildCounter().Name("removed").Register(registry_).Add({});
  // What the scheduler names.
  std::set<std::string> needed_;
  bool connected_ = true;
  std::vector<std::string> brought_again_;
  std::unique_ptr<ImageGarbage> garbage_;
};

TEST_F(ImageGarbageTest, ImageGoesAWhileAfterItsLastVersion) {
  const std::string id = Brought("registry.example/team/image:1");
  LetTimePass();
  EXPECT_TRUE(IsHere(id)) << "a version has it";
  needed_.clear();
  garbage_->Sweep();
  clock_.Advance(kKeep - absl::Seconds(1));
  garbage_->Sweep();
  EXPECT_TRUE(IsHere(id)) << "for who goes back";
  clock_.Advance(absl::Seconds(1));
  garbage_->Sweep();
  EXPECT_FALSE(IsHere(id));
  EXPECT_EQ(removed_.Value(), 1);
  EXPECT_FALSE(images_.forgotten.empty()) << "or the next start would believe that it is here";
  EXPECT_TRUE(brought_again_.empty());
}

TEST_F(ImageGarbageTest, ImageStaysForAnotherVersion) {
  const std::string id = Brought("thaw.local/app/fn:1");
  // A config was changed: the old version has gone, the new one has the same image.
  garbage_->Noted(id, "thaw.local/app/fn:1", false);
  LetTimePass();
  EXPECT_TRUE(IsHere(id));
  EXPECT_EQ(runtime_.Calls(Op::kRemoveImage), 0);
}

TEST_F(ImageGarbageTest, WhoGoesBackInTimeFindsItAndLaterItIsBroughtAgain) {
  const std::string id = Brought("thaw.local/app/fn:1");
  needed_.clear();
  garbage_->Sweep();
  clock_.Advance(kKeep - absl::Seconds(1));
  needed_.insert(id);
  LetTimePass();
  EXPECT_TRUE(IsHere(id));
  needed_.clear();
  LetTimePass();
  ASSERT_FALSE(IsHere(id));
  EXPECT_EQ(Brought("thaw.local/app/fn:1"), id);
  LetTimePass();
  EXPECT_TRUE(IsHere(id));
}

TEST_F(ImageGarbageTest, ImageThatAContainerUsesStaysAndIsTriedAgain) {
  const std::string id = Brought("thaw.local/app/fn:1");
  // Of another agent on the same engine, whose instances have not drained.
  UseInContainer(id);
  needed_.clear();
  LetTimePass();
  EXPECT_TRUE(IsHere(id));
  EXPECT_EQ(runtime_.Calls(Op::kRemoveImage), 1);
  EXPECT_EQ(removed_.Value(), 0);
  ASSERT_TRUE(runtime_.Remove("user", absl::InfiniteFuture()).ok());
  LetTimePass();
  EXPECT_FALSE(IsHere(id));
}

TEST_F(ImageGarbageTest, ImageThatWasOnTheEngineForAnotherReasonStays) {
  const std::string named = Add("team/image:1"), nameless = Add("");
  garbage_->Noted(named, "team/image:1", false);
  garbage_->Noted(nameless, "", false);
  LetTimePass();
  EXPECT_TRUE(IsHere(named));
  EXPECT_TRUE(IsHere(nameless));
  EXPECT_EQ(runtime_.Calls(Op::kRemoveImage), 0);
}

TEST_F(ImageGarbageTest, ImageThatThawDeployBuiltOnThisEngineGoes) {
  const std::string id = Add("thaw.local/app/fn:1");
  garbage_->Noted(id, "thaw.local/app/fn:1", false);
  LetTimePass();
  EXPECT_FALSE(IsHere(id));
}

TEST_F(ImageGarbageTest, ImageThatSomebodyGaveANameOfHisOwnStays) {
  const std::string brought = Brought("team/image:1"), built = Brought("thaw.local/app/fn:1");
  for (const std::string& id : {brought, built}) {
    ASSERT_TRUE(runtime_.TagImage(id, id == built ? "mine:1" : "mine:2", absl::InfiniteFuture()).ok());
  }
  needed_.clear();
  LetTimePass();
  EXPECT_TRUE(IsHere(brought));
  EXPECT_TRUE(IsHere(built));
}

TEST_F(ImageGarbageTest, NothingGoesWhileTheSchedulerIsNotHeard) {
  const std::string id = Brought("thaw.local/app/fn:1");
  needed_.clear();
  garbage_->Sweep();
  connected_ = false;
  LetTimePass();
  EXPECT_TRUE(IsHere(id));
  // What it has to tell of new versions comes after its first word.
  connected_ = true;
  garbage_->Connected();
  garbage_->Sweep();
  EXPECT_TRUE(IsHere(id));
  LetTimePass();
  EXPECT_FALSE(IsHere(id));
}

TEST_F(ImageGarbageTest, ImageThatIsAskedForStaysForAnotherWhile) {
  const std::string id = Brought("thaw.local/app/fn:1");
  needed_.clear();
  garbage_->Sweep();
  clock_.Advance(kKeep);
  // `thaw deploy` asks, and sends nothing when the image is here; its version comes a moment later.
  garbage_->AskedFor(id);
  garbage_->Sweep();
  EXPECT_TRUE(IsHere(id));
  LetTimePass();
  EXPECT_FALSE(IsHere(id));
}

TEST_F(ImageGarbageTest, ImageOfAVersionThatComesDuringTheRemovalIsBroughtAgain) {
  const std::string id = Brought("thaw.local/app/fn:1");
  needed_.clear();
  runtime_.SetHook(Op::kRemoveImage, [&](const std::string&) {
    needed_.insert(id);
    return absl::OkStatus();
  });
  LetTimePass();
  EXPECT_EQ(brought_again_, std::vector<std::string>{id});
  runtime_.SetHook(Op::kRemoveImage, nullptr);
  EXPECT_EQ(Add("thaw.local/app/fn:1"), id) << "as the agent then does";
  needed_.clear();
  LetTimePass();
  EXPECT_FALSE(IsHere(id)) << "it is still known as Thaw's";
}

TEST_F(ImageGarbageTest, ARestartedAgentKnowsWhichImagesAreThaws) {
  const std::string brought = Brought("team/image:1"), found = Add("team/image:2");
  garbage_->Noted(found, "team/image:2", false);
  needed_.clear();
  Restart();
  LetTimePass();
  EXPECT_FALSE(IsHere(brought));
  EXPECT_TRUE(IsHere(found));
}

TEST_F(ImageGarbageTest, EngineThatIsAwayIsAskedAgain) {
  const std::string id = Brought("thaw.local/app/fn:1");
  needed_.clear();
  runtime_.SetEngineDown(true);
  LetTimePass();
  runtime_.SetEngineDown(false);
  EXPECT_TRUE(IsHere(id));
  LetTimePass();
  EXPECT_FALSE(IsHere(id));
}

class NoInit final : public SlotInitConnector {
 public:
  absl::StatusOr<std::unique_ptr<SlotInit>> Connect(const std::string&, absl::Time) override {
    return absl::DeadlineExceededError("no init answers");
  }
};

TEST_F(ImageGarbageTest, SlotWhoseImageAnotherAgentHasRemovedHasItBroughtAgain) {
  const std::string id = Add("thaw.local/app/fn:1");
  NoInit connector;
  ContainerSlots slots({}, ContainerSlots::Deps{runtime_, connector, images_, clock_, Paths(dir_.path()),
                                                NullLogger()});
  for (const char* part : {"/versions", "/slots"}) std::filesystem::create_directories(dir_.path() + part);
  VersionState version;
  version.mutable_spec()->set_version_id("v1");
  version.mutable_spec()->set_image_id(id);
  runtime_.FailNext(Op::kCreate, absl::NotFoundError("no such image"));
  EXPECT_TRUE(absl::IsDeadlineExceeded(slots.Create(version, absl::InfiniteFuture()).status())) << "of its init";
  EXPECT_EQ(images_.forgotten, std::vector<std::string>{id});
  EXPECT_EQ(images_.ensured, 2);
  EXPECT_EQ(runtime_.Calls(Op::kStart), 1);
  // Only once: what is not there after it was brought is another fault.
  runtime_.FailNext(Op::kCreate, absl::NotFoundError("no such image"), 2);
  EXPECT_TRUE(absl::IsNotFound(slots.Create(version, absl::InfiniteFuture()).status()));
}

}  // namespace
}  // namespace thaw::agent
