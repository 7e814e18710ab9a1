#include "agent/transfer/image_fetcher.h"

#include <gtest/gtest.h>

#include <thread>

#include "absl/strings/match.h"
#include "absl/synchronization/notification.h"
#include "agent/container/image_archive.h"
#include "common/status/reasons.h"
#include "prometheus/registry.h"
#include "tests/fakes/fake_container_runtime.h"
#include "tests/fakes/fake_peers.h"

namespace thaw::agent {
namespace {

using ::thaw::testing::FakeContainerRuntime;
using ::thaw::testing::FakePeers;
using Op = FakeContainerRuntime::Op;

const Holder kA{"a", "a:1"}, kB{"b", "b:1"}, kC{"c", "c:1"};
constexpr char kReference[] = "demo/hello:0.0.1";

ImageContent Content(const std::string& text) {
  ImageContent content;
  content.files = {{.path = "function/app.jar", .contents = std::string(9000, 'j') + text}};
  content.cmd = {"hello"};
  return content;
}

class ImageFetcherTest : public ::testing::Test {
 protected:
  ImageFetcherTest() {
    id_ = a_.AddImage(Content("one"));
    b_.AddImage(Content("one"));
    peers_.Add(kA.address, nullptr, &a_);
    peers_.Add(kB.address, nullptr, &b_);
    peers_.Add(kC.address, nullptr, &c_);
  }
  absl::Time Soon() const { return absl::Now() + absl::Seconds(30); }
  absl::StatusOr<ImageFetcher::Result> Ensure(const std::vector<Holder>& holders,
                                              const std::string& reference = kReference) {
    return fetcher_.EnsureImage(id_, reference, holders, Soon());
  }
  bool Here() { return here_.InspectImage(id_, Soon()).ok(); }

  FakeContainerRuntime a_, b_, c_, here_;
  FakePeers peers_;
  prometheus::Registry registry_;
  TransferMetrics metrics_{registry_};
  ImageFetcher fetcher_{here_, peers_, metrics_};
  std::string id_;
};

TEST_F(ImageFetcherTest, ImageComesFromAHolderAndGetsItsTag) {
  const auto result = Ensure({kA});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->image.id, id_);
  EXPECT_EQ(result->from, ImageFetcher::Result::From::kPeer);
  EXPECT_EQ(result->holder, "a");
  EXPECT_GT(result->received_bytes, 9000u);
  EXPECT_EQ(here_.InspectImage(kReference, Soon())->id, id_);
}

TEST_F(ImageFetcherTest, ImageThatIsHereAsksNobodyButIsTagged) {
  here_.AddImage(Content("one"));
  const auto result = Ensure({kA});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->from, ImageFetcher::Result::From::kHere);
  EXPECT_EQ(peers_.Calls(kA.address), 0);
  EXPECT_EQ(here_.InspectImage(kReference, Soon())->id, id_);
  ASSERT_TRUE(Ensure({kA}).ok());
  EXPECT_EQ(here_.Calls(Op::kTagImage), 1) << "it has its tag";
}

TEST_F(ImageFetcherTest, HolderThatDiesIsReplaced) {
  peers_.SetFaults(kA.address, {.dies_after = 3});
  const auto result = Ensure({kC, kA, kB});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(peers_.Given(kA.address), 3) << "the fault must fire";
  EXPECT_EQ(result->holder, "b");
}

TEST_F(ImageFetcherTest, FlippedByteKeepsNothing) {
  peers_.SetFaults(kA.address, {.flips_nth = 5});
  const auto result = Ensure({kA});
  EXPECT_TRUE(absl::IsUnavailable(result.status())) << result.status();
  EXPECT_EQ(ReasonOf(result.status()), reason::kImageUnavailable);
  EXPECT_FALSE(Here());
  EXPECT_TRUE(here_.ListImageIds(Soon())->empty());
}

TEST_F(ImageFetcherTest, WrongOrMissingTrailerKeepsNothing) {
  peers_.SetFaults(kA.address, {.image_sha256 = std::string(64, '0')});
  EXPECT_TRUE(absl::IsUnavailable(Ensure({kA}).status()));
  peers_.SetFaults(kA.address, {.leaves_out_last = true});
  EXPECT_TRUE(absl::IsUnavailable(Ensure({kA}).status()));
  EXPECT_TRUE(here_.ListImageIds(Soon())->empty());
}

TEST_F(ImageFetcherTest, AnotherImageUnderTheNameKeepsNothing) {
  // The holder exports another image, with a right trailer.
  FakeContainerRuntime liar;
  const std::string other = liar.AddImage(Content("two"));
  class Liar final : public Peers {
   public:
    Liar(FakeContainerRuntime& runtime, std::string image) : runtime_(runtime), image_(std::move(image)) {}
    std::shared_ptr<Peer> Connect(const Holder& holder) override {
      inner_.Add(holder.address, nullptr, &runtime_);
      struct Swap final : Peer {
        absl::StatusOr<v1::Manifest> GetManifest(const std::string& id, absl::Time deadline) override {
          return peer->GetManifest(id, deadline);
        }
        absl::Status ReadChunks(const std::vector<std::string>& chunks,
                                absl::FunctionRef<absl::Status(const std::string&, absl::string_view)> sink,
                                absl::Time deadline) override {
          return peer->ReadChunks(chunks, sink, deadline);
        }
        absl::StatusOr<std::string> ExportImage(const std::string&, absl::FunctionRef<absl::Status(absl::string_view)> sink,
                                                absl::Time deadline) override {
          return peer->ExportImage(image, sink, deadline);
        }
        std::shared_ptr<Peer> peer;
        std::string image;
      };
      auto swap = std::make_shared<Swap>();
      swap->peer = inner_.Connect(holder);
      swap->image = image_;
      return swap;
    }

   private:
    FakePeers inner_;
    FakeContainerRuntime& runtime_;
    const std::string image_;
  } peers(liar, other);
  ImageFetcher fetcher(here_, peers, metrics_);
  const auto result = fetcher.EnsureImage(id_, kReference, {kA}, Soon());
  EXPECT_TRUE(absl::IsFailedPrecondition(result.status())) << result.status();
  EXPECT_EQ(ReasonOf(result.status()), reason::kImageUnavailable);
  EXPECT_TRUE(here_.ListImageIds(Soon())->empty());
}

TEST_F(ImageFetcherTest, NobodyHasItNamesAllAskedAndTheRemedy) {
  const auto result = Ensure({kC});
  EXPECT_TRUE(absl::IsFailedPrecondition(result.status())) << result.status();
  EXPECT_EQ(ReasonOf(result.status()), reason::kImageUnavailable);
  for (const char* word : {id_.c_str(), kReference, "node c (c:1)", "deploy the function again"}) {
    EXPECT_TRUE(absl::StrContains(result.status().message(), word)) << result.status();
  }
  EXPECT_EQ(here_.Calls(Op::kPullImage), 0) << "the name names no registry";
}

TEST_F(ImageFetcherTest, UnreachableHolderIsUnavailable) {
  peers_.SetFaults(kA.address, {.unreachable = true});
  EXPECT_TRUE(absl::IsUnavailable(Ensure({kA, kC}).status()));
}

TEST_F(ImageFetcherTest, RegistryIsTheLastResort) {
  here_.AddToRegistry("registry.example/hello:1", Content("one"));
  const auto result = Ensure({kC}, "registry.example/hello:1");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->from, ImageFetcher::Result::From::kRegistry);
  EXPECT_EQ(peers_.Calls(kC.address), 1);
}

TEST_F(ImageFetcherTest, RegistryThatHasAnotherImageUnderTheNameIsNoHelp) {
  here_.AddToRegistry("registry.example/hello:1", Content("newer"));
  const auto result = Ensure({}, "registry.example/hello:1");
  EXPECT_TRUE(absl::IsFailedPrecondition(result.status())) << result.status();
  EXPECT_TRUE(absl::StrContains(result.status().message(), "another image")) << result.status();
}

TEST_F(ImageFetcherTest, DeadEngineIsSaidSoAndNobodyAsked) {
  here_.SetEngineDown(true);
  const auto result = Ensure({kA});
  EXPECT_EQ(ReasonOf(result.status()), reason::kEngineUnavailable) << result.status();
  EXPECT_EQ(peers_.Calls(kA.address), 0);
}

TEST_F(ImageFetcherTest, EngineThatRefusesTheArchiveReleasesTheStream) {
  here_.FailNext(Op::kImportImage, absl::FailedPreconditionError("no such layer"));
  const auto result = Ensure({kA, kB});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->holder, "b");
}

TEST_F(ImageFetcherTest, ConcurrentCallsForOneImageAreOne) {
  absl::Notification begun, go_on;
  peers_.SetFaults(kA.address, {.before_each = [&] {
    if (begun.HasBeenNotified()) return;
    begun.Notify();
    go_on.WaitForNotification();
  }});
  absl::StatusOr<ImageFetcher::Result> first, second;
  std::thread first_caller([&] { first = Ensure({kA}); });
  begun.WaitForNotification();
  std::thread second_caller([&] { second = Ensure({kB}); });
  const auto impatient = fetcher_.EnsureImage(id_, kReference, {kB}, absl::Now() + absl::Milliseconds(20));
  EXPECT_TRUE(absl::IsDeadlineExceeded(impatient.status())) << impatient.status();
  go_on.Notify();
  first_caller.join();
  second_caller.join();
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(here_.Calls(Op::kImportImage), 1);
  EXPECT_EQ(peers_.Calls(kB.address), 0);
}

TEST(NamesRegistry, NeedsAHostBeforeTheFirstSlash) {
  EXPECT_TRUE(NamesRegistry("registry.example/hello:1"));
  EXPECT_TRUE(NamesRegistry("host:5000/hello"));
  EXPECT_TRUE(NamesRegistry("localhost/hello"));
  EXPECT_FALSE(NamesRegistry("demo/hello:0.0.1"));
  EXPECT_FALSE(NamesRegistry("hello:0.0.1"));
  EXPECT_FALSE(NamesRegistry(""));
}

}  // namespace
}  // namespace thaw::agent
