#include "tests/contract/container_runtime_contract.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/ids/ids.h"
#include "common/status/reasons.h"

namespace thaw::testing {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ContainerRuntimeContract);

using ::testing::TestParamInfo;

void ContainerRuntimeContract::SetUp() {
  under_test_ = GetParam()();
  const std::string missing = under_test_->Missing();
  if (!missing.empty()) {
    under_test_.reset();
    const char* required = std::getenv("THAW_REQUIRE_HOST");
    if (required != nullptr && absl::string_view(required) == "1") FAIL() << missing;
    GTEST_SKIP() << missing;
  }
  run_ = NewHexId();
  agent::ImageContent content;
  content.files = {{"payload", under_test_->Payload()}};
  content.tags = {Name("image") + ":1"};
  content.entrypoint = {"/payload"};
  content.cmd = {"sleep"};
  content.env = {"COLOUR=ice"};
  content.working_dir = "/";
  content.labels = {{"thaw.test.run", run_}};
  image_ = agent::MakeImageArchive(content);
  tags_ = content.tags;
  const absl::Status imported = Import(image_.tar);
  ASSERT_TRUE(imported.ok()) << imported;
}

void ContainerRuntimeContract::TearDown() {
  if (under_test_ == nullptr) return;
  const auto left = runtime().List({{"thaw.test.run", run_}}, Soon());
  ASSERT_TRUE(left.ok()) << left.status();
  for (const auto& container : *left) EXPECT_TRUE(runtime().Remove(container.id, Soon()).ok());
  EXPECT_TRUE(runtime().RemoveImage(image_.id, Soon()).ok());
  EXPECT_TRUE(absl::IsNotFound(runtime().InspectImage(image_.id, Soon()).status()));
}

std::string ContainerRuntimeContract::Name(const std::string& what) const {
  return absl::StrCat("thaw-contract-", run_, "-", what);
}

agent::ContainerSpec ContainerRuntimeContract::Spec(const std::string& what, std::vector<std::string> command) const {
  agent::ContainerSpec spec;
  spec.name = Name(what);
  spec.image_id = image_.id;
  spec.command = {"/payload"};
  spec.command.insert(spec.command.end(), command.begin(), command.end());
  spec.labels = {{"thaw.test.run", run_}, {"thaw.test.what", what}};
  spec.network = "none";
  return spec;
}

absl::Time ContainerRuntimeContract::Soon() { return absl::Now() + absl::Seconds(30); }

absl::Status ContainerRuntimeContract::Import(const std::string& tar) {
  std::size_t at = 0;
  return runtime().ImportImage(
      [&]() -> absl::StatusOr<std::string> {
        const std::string part = tar.substr(at, 1 << 20);
        at += part.size();
        return part;
      },
      Soon());
}

agent::ContainerInfo ContainerRuntimeContract::AwaitExit(const std::string& id) {
  const absl::Time end = Soon();
  while (absl::Now() < end) {
    const auto info = runtime().Inspect(id, Soon());
    if (!info.ok()) {
      ADD_FAILURE() << info.status();
      return {};
    }
    if (!info->running) return *info;
    absl::SleepFor(absl::Milliseconds(20));
  }
  ADD_FAILURE() << "container " << id << " has not ended";
  return {};
}

TEST_P(ContainerRuntimeContract, EngineTellsWhatItIs) {
  const auto info = runtime().GetEngineInfo(Soon());
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_FALSE(info->version.empty());
  EXPECT_FALSE(info->architecture.empty());
  EXPECT_TRUE(info->cgroup_version == "1" || info->cgroup_version == "2") << info->cgroup_version;
  EXPECT_FALSE(info->storage_driver.empty());
}

TEST_P(ContainerRuntimeContract, ContainerRunsFromStartToRemove) {
  const auto id = runtime().Create(Spec("a", {"sleep"}), Soon());
  ASSERT_TRUE(id.ok()) << id.status();
  auto info = runtime().Inspect(*id, Soon());
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_FALSE(info->running);

  ASSERT_TRUE(runtime().Start(*id, Soon()).ok());
  info = runtime().Inspect(*id, Soon());
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_TRUE(info->running);
  EXPECT_EQ(info->id, *id);
  EXPECT_EQ(info->name, Name("a"));
  EXPECT_EQ(info->image_id, image_.id);
  EXPECT_EQ(info->labels.at("thaw.test.what"), "a");
  EXPECT_FALSE(info->oom_killed);

  ASSERT_TRUE(runtime().Remove(*id, Soon()).ok());
  EXPECT_TRUE(absl::IsNotFound(runtime().Inspect(*id, Soon()).status()));
}

TEST_P(ContainerRuntimeContract, ContainerIsAlsoKnownByItsName) {
  const auto id = runtime().Create(Spec("named", {"sleep"}), Soon());
  ASSERT_TRUE(id.ok()) << id.status();
  ASSERT_TRUE(runtime().Start(Name("named"), Soon()).ok());
  const auto info = runtime().Inspect(Name("named"), Soon());
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->id, *id);
  ASSERT_TRUE(runtime().Remove(Name("named"), Soon()).ok());
  EXPECT_TRUE(absl::IsNotFound(runtime().Inspect(*id, Soon()).status()));
}

TEST_P(ContainerRuntimeContract, StartOfARunningContainerIsOk) {
  const auto id = runtime().Create(Spec("twice", {"sleep"}), Soon());
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_TRUE(runtime().Start(*id, Soon()).ok());
  EXPECT_TRUE(runtime().Start(*id, Soon()).ok());
}

TEST_P(ContainerRuntimeContract, CreateWithATakenNameAlreadyExists) {
  ASSERT_TRUE(runtime().Create(Spec("taken", {"sleep"}), Soon()).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(runtime().Create(Spec("taken", {"sleep"}), Soon()).status()));
}

TEST_P(ContainerRuntimeContract, CreateOfAnUnknownImageIsNotFound) {
  auto spec = Spec("no-image", {"sleep"});
  spec.image_id = "sha256:" + std::string(64, '0');
  EXPECT_TRUE(absl::IsNotFound(runtime().Create(spec, Soon()).status()));
}

TEST_P(ContainerRuntimeContract, UnknownContainerIsNotFoundExceptToRemove) {
  const std::string id(64, 'e');
  EXPECT_TRUE(absl::IsNotFound(runtime().Start(id, Soon())));
  EXPECT_TRUE(absl::IsNotFound(runtime().Inspect(id, Soon()).status()));
  EXPECT_TRUE(absl::IsNotFound(runtime().TailLog(id, 10, Soon()).status()));
  EXPECT_TRUE(runtime().Remove(id, Soon()).ok());
}

TEST_P(ContainerRuntimeContract, EndedContainerKeepsItsExitCode) {
  const auto id = runtime().Create(Spec("exit", {"exit", "7"}), Soon());
  ASSERT_TRUE(id.ok()) << id.status();
  ASSERT_TRUE(runtime().Start(*id, Soon()).ok());
  const auto info = AwaitExit(*id);
  EXPECT_EQ(info.exit_code, 7);
  EXPECT_FALSE(info.oom_killed);
  const auto list = runtime().List({{"thaw.test.run", run_}, {"thaw.test.what", "exit"}}, Soon());
  ASSERT_TRUE(list.ok()) << list.status();
  ASSERT_EQ(list->size(), 1u);
  EXPECT_FALSE(list->front().running);
  EXPECT_EQ(list->front().exit_code, 7);
}

TEST_P(ContainerRuntimeContract, ListHasThoseWithAllLabels) {
  const auto first = runtime().Create(Spec("one", {"sleep"}), Soon());
  const auto second = runtime().Create(Spec("two", {"sleep"}), Soon());
  ASSERT_TRUE(first.ok() && second.ok());
  ASSERT_TRUE(runtime().Start(*second, Soon()).ok());

  const auto both = runtime().List({{"thaw.test.run", run_}}, Soon());
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_EQ(both->size(), 2u);
  const auto one = runtime().List({{"thaw.test.run", run_}, {"thaw.test.what", "two"}}, Soon());
  ASSERT_TRUE(one.ok()) << one.status();
  ASSERT_EQ(one->size(), 1u);
  EXPECT_EQ(one->front().id, *second);
  EXPECT_EQ(one->front().name, Name("two"));
  EXPECT_EQ(one->front().image_id, image_.id);
  EXPECT_TRUE(one->front().running);
  const auto none = runtime().List({{"thaw.test.run", run_}, {"thaw.test.what", "three"}}, Soon());
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_TRUE(none->empty());
}

TEST_P(ContainerRuntimeContract, TailLogHasTheLastLines) {
  const auto id = runtime().Create(Spec("print", {"print", "5"}), Soon());
  ASSERT_TRUE(id.ok()) << id.status();
  ASSERT_TRUE(runtime().Start(*id, Soon()).ok());
  AwaitExit(*id);
  const auto tail = runtime().TailLog(*id, 2, Soon());
  ASSERT_TRUE(tail.ok()) << tail.status();
  EXPECT_EQ(*tail, "line 4\nline 5\n");
}

TEST_P(ContainerRuntimeContract, ImageIsKnownByIdAndByTag) {
  for (const std::string& name : {image_.id, tags_[0]}) {
    const auto info = runtime().InspectImage(name, Soon());
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ(info->id, image_.id);
    EXPECT_EQ(info->tags, tags_);
    EXPECT_EQ(info->entrypoint, std::vector<std::string>{"/payload"});
    EXPECT_EQ(info->cmd, std::vector<std::string>{"sleep"});
    EXPECT_EQ(info->env, std::vector<std::string>{"COLOUR=ice"});
    EXPECT_EQ(info->working_dir, "/");
    EXPECT_EQ(info->labels.at("thaw.test.run"), run_);
    EXPECT_FALSE(info->has_volumes);
    EXPECT_GT(info->size_bytes, 0u);
  }
  const auto ids = runtime().ListImageIds(Soon());
  ASSERT_TRUE(ids.ok()) << ids.status();
  EXPECT_EQ(std::count(ids->begin(), ids->end(), image_.id), 1);
}

TEST_P(ContainerRuntimeContract, ImageWithVolumesSaysSo) {
  agent::ImageContent content;
  content.files = {{"payload", "x"}};
  content.volumes = {"/data"};
  content.labels = {{"thaw.test.run", run_}};
  const auto archive = agent::MakeImageArchive(content);
  ASSERT_TRUE(Import(archive.tar).ok());
  const auto info = runtime().InspectImage(archive.id, Soon());
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_TRUE(info->has_volumes);
  EXPECT_TRUE(info->tags.empty());
  EXPECT_TRUE(runtime().RemoveImage(archive.id, Soon()).ok());
}

TEST_P(ContainerRuntimeContract, UnknownImageIsNotFoundExceptToRemove) {
  const std::string id = "sha256:" + std::string(64, '0');
  EXPECT_TRUE(absl::IsNotFound(runtime().InspectImage(id, Soon()).status()));
  EXPECT_TRUE(absl::IsNotFound(runtime().InspectImage(Name("nope") + ":1", Soon()).status()));
  EXPECT_TRUE(absl::IsNotFound(runtime().TagImage(id, Name("image") + ":2", Soon())));
  int parts = 0;
  const auto count = [&](absl::string_view) {
    ++parts;
    return absl::OkStatus();
  };
  const absl::Status exported = runtime().ExportImage(id, count, Soon());
  EXPECT_TRUE(absl::IsNotFound(exported)) << exported;
  EXPECT_EQ(parts, 0);
  EXPECT_TRUE(runtime().RemoveImage(id, Soon()).ok());
}

TEST_P(ContainerRuntimeContract, TagMovesToTheImageThatGotItLast) {
  const std::string tag = Name("image") + ":2";
  ASSERT_TRUE(runtime().TagImage(image_.id, tag, Soon()).ok());
  auto info = runtime().InspectImage(tag, Soon());
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->id, image_.id);
  EXPECT_EQ(info->tags.size(), 2u);

  agent::ImageContent content;
  content.files = {{"payload", "other"}};
  content.labels = {{"thaw.test.run", run_}};
  const auto other = agent::MakeImageArchive(content);
  ASSERT_TRUE(Import(other.tar).ok());
  ASSERT_TRUE(runtime().TagImage(other.id, tag, Soon()).ok());
  info = runtime().InspectImage(tag, Soon());
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->id, other.id);
  EXPECT_EQ(runtime().InspectImage(image_.id, Soon())->tags, tags_);
  EXPECT_TRUE(runtime().RemoveImage(other.id, Soon()).ok());
}

TEST_P(ContainerRuntimeContract, RemovingOneTagOfTwoKeepsTheImage) {
  const std::string tag = Name("image") + ":2";
  ASSERT_TRUE(runtime().TagImage(image_.id, tag, Soon()).ok());
  ASSERT_TRUE(runtime().RemoveImage(tag, Soon()).ok());
  EXPECT_TRUE(absl::IsNotFound(runtime().InspectImage(tag, Soon()).status()));
  EXPECT_TRUE(runtime().InspectImage(image_.id, Soon()).ok());
}

TEST_P(ContainerRuntimeContract, RemovingByIdTakesAllTags) {
  const std::string tag = Name("image") + ":2";
  ASSERT_TRUE(runtime().TagImage(image_.id, tag, Soon()).ok());
  ASSERT_TRUE(runtime().RemoveImage(image_.id, Soon()).ok());
  EXPECT_TRUE(absl::IsNotFound(runtime().InspectImage(tag, Soon()).status()));
  EXPECT_TRUE(absl::IsNotFound(runtime().InspectImage(tags_[0], Soon()).status()));
}

TEST_P(ContainerRuntimeContract, ImageInUseIsNotRemoved) {
  const auto id = runtime().Create(Spec("user", {"sleep"}), Soon());
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_TRUE(absl::IsFailedPrecondition(runtime().RemoveImage(image_.id, Soon())));
  EXPECT_TRUE(runtime().InspectImage(image_.id, Soon()).ok());
  EXPECT_TRUE(runtime().Start(*id, Soon()).ok());
}

TEST_P(ContainerRuntimeContract, ExportedImageCanBeImportedAsTheSameImage) {
  for (const bool by_tag : {false, true}) {
    std::string archive;
    const auto keep = [&](absl::string_view part) {
      absl::StrAppend(&archive, part);
      return absl::OkStatus();
    };
    const absl::Status exported = runtime().ExportImage(by_tag ? tags_[0] : image_.id, keep, Soon());
    ASSERT_TRUE(exported.ok()) << exported;
    ASSERT_TRUE(runtime().RemoveImage(image_.id, Soon()).ok());
    ASSERT_TRUE(absl::IsNotFound(runtime().InspectImage(image_.id, Soon()).status()));
    const absl::Status imported = Import(archive);
    ASSERT_TRUE(imported.ok()) << imported;
    const auto info = runtime().InspectImage(image_.id, Soon());
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ(info->tags, by_tag ? tags_ : std::vector<std::string>());
    const auto id = runtime().Create(Spec("again", {"exit", "3"}), Soon());
    ASSERT_TRUE(id.ok()) << id.status();
    ASSERT_TRUE(runtime().Start(*id, Soon()).ok());
    EXPECT_EQ(AwaitExit(*id).exit_code, 3);
    ASSERT_TRUE(runtime().Remove(*id, Soon()).ok());
    if (!by_tag) {
      ASSERT_TRUE(runtime().TagImage(image_.id, tags_[0], Soon()).ok());
    }
  }
}

TEST_P(ContainerRuntimeContract, ExportStopsAtTheSinksError) {
  int parts = 0;
  const absl::Status status = runtime().ExportImage(
      image_.id,
      [&](absl::string_view) {
        ++parts;
        return absl::AbortedError("the sink is full");
      },
      Soon());
  EXPECT_EQ(status, absl::AbortedError("the sink is full"));
  EXPECT_EQ(parts, 1);
}

TEST_P(ContainerRuntimeContract, ImportEndsWithTheSourcesErrorAndLoadsNothing) {
  ASSERT_TRUE(runtime().RemoveImage(image_.id, Soon()).ok());
  int parts = 0;
  const absl::Status status = runtime().ImportImage(
      [&]() -> absl::StatusOr<std::string> {
        if (parts++ == 0) return image_.tar.substr(0, image_.tar.size() / 2);
        return absl::DataLossError("the source broke");
      },
      Soon());
  EXPECT_EQ(status, absl::DataLossError("the source broke"));
  EXPECT_TRUE(absl::IsNotFound(runtime().InspectImage(image_.id, Soon()).status()));
}

TEST_P(ContainerRuntimeContract, WhatIsNoArchiveIsRefused) {
  EXPECT_TRUE(absl::IsFailedPrecondition(Import(std::string(4096, 'x'))));
}

TEST_P(ContainerRuntimeContract, TruncatedArchiveIsRefused) {
  ASSERT_TRUE(runtime().RemoveImage(image_.id, Soon()).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(Import(image_.tar.substr(0, image_.tar.size() / 2))));
  EXPECT_TRUE(absl::IsNotFound(runtime().InspectImage(image_.id, Soon()).status()));
}

TEST_P(ContainerRuntimeContract, ImageThatCantBeHadHasItsReason) {
  const absl::Status status = runtime().PullImage("registry.invalid/thaw/nothing:1", Soon());
  EXPECT_EQ(ReasonOf(status), reason::kImageUnavailable) << status;
}

TEST_P(ContainerRuntimeContract, PassedDeadlineIsDeadlineExceeded) {
  const absl::Time passed = absl::Now() - absl::Seconds(1);
  EXPECT_TRUE(absl::IsDeadlineExceeded(runtime().Create(Spec("late", {"sleep"}), passed).status()));
  EXPECT_TRUE(absl::IsDeadlineExceeded(runtime().Start("late", passed)));
  EXPECT_TRUE(absl::IsDeadlineExceeded(runtime().ListImageIds(passed).status()));
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      runtime().ImportImage([]() -> absl::StatusOr<std::string> { return std::string(); }, passed)));
  EXPECT_TRUE(absl::IsNotFound(runtime().Inspect(Name("late"), Soon()).status()));
}

}  // namespace thaw::testing
