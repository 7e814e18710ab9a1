#include "scheduler/catalogue/catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/rpc/client.h"
#include "common/status/reasons.h"
#include "prometheus/registry.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_store.h"
#include "tests/scheduler/support/test_scheduler.h"

namespace thaw::scheduler {
namespace {

using ::testing::ElementsAre;
using testing::ImageId;

class RecordingListener final : public CatalogueListener {
 public:
  void OnFunctionsChanged(const std::vector<FunctionChange>& changes) override {
    told.insert(told.end(), changes.begin(), changes.end());
  }
  std::vector<FunctionChange> told;
};

class CatalogueTest : public ::testing::Test {
 protected:
  CatalogueTest() { Restart(); }
  void Restart() {
    catalogue_ = std::make_unique<Catalogue>(store_, clock_, metrics_, *store_.Load());
    catalogue_->SetListener(&listener_);
  }

  common::v1::App MakeApp(const std::string& name) {
    common::v1::App app;
    app.set_name(name);
    auto made = catalogue_->CreateApp(app);
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? *made : app;
  }
  common::v1::Function Input(const std::string& app_id, const std::string& name, int image = 1) {
    common::v1::Function function;
    function.set_app_id(app_id);
    function.set_name(name);
    function.set_image("image:1");
    if (image > 0) function.set_image_id(ImageId(image));
    return function;
  }
  common::v1::Function MakeFunction(const std::string& app_id, const std::string& name, int image = 1) {
    auto made = catalogue_->CreateFunction(Input(app_id, name, image));
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? *made : common::v1::Function();
  }

  thaw::testing::FakeClock clock_;
  thaw::testing::FakeStore store_;
  prometheus::Registry registry_;
  SchedulerMetrics metrics_{registry_};
  RecordingListener listener_;
  std::unique_ptr<Catalogue> catalogue_;
};

TEST_F(CatalogueTest, ACreatedAppGetsAnIdAndTimes) {
  const common::v1::App app = MakeApp("app");
  EXPECT_EQ(app.id().size(), 26u);
  EXPECT_EQ(FromProto(app.created_at()), clock_.Now());
  EXPECT_EQ(FromProto(app.updated_at()), clock_.Now());
  EXPECT_EQ(catalogue_->GetApp(app.id(), "")->name(), "app");
  EXPECT_EQ(catalogue_->GetApp("", "app")->id(), app.id());
}

TEST_F(CatalogueTest, ATakenAppNameIsRefused) {
  MakeApp("app");
  common::v1::App app;
  app.set_name("app");
  const auto again = catalogue_->CreateApp(app);
  EXPECT_EQ(again.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ReasonOf(again.status()), reason::kAlreadyExists);
}

TEST_F(CatalogueTest, UnknownThingsAreNotFoundEachWithItsReason) {
  EXPECT_EQ(ReasonOf(catalogue_->GetApp("", "none").status()), reason::kAppNotFound);
  EXPECT_EQ(ReasonOf(catalogue_->DeleteApp("none")), reason::kAppNotFound);
  EXPECT_EQ(ReasonOf(catalogue_->GetFunction("none", "", "").status()), reason::kFunctionNotFound);
  EXPECT_EQ(ReasonOf(catalogue_->DeleteFunction("none")), reason::kFunctionNotFound);
  EXPECT_EQ(ReasonOf(catalogue_->DeleteFunction("")), reason::kFunctionNotFound);
  EXPECT_EQ(ReasonOf(catalogue_->CreateFunction(Input("none", "fn")).status()), reason::kAppNotFound);
  EXPECT_EQ(ReasonOf(catalogue_->CurrentVersion("", "app/none").status()), reason::kFunctionNotFound);
  EXPECT_EQ(catalogue_->GetApp("", "none").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(CatalogueTest, AnAppIsFoundByNameWhereNoIdIsGiven) {
  const common::v1::App app = MakeApp("app");
  common::v1::App update;
  update.set_name("app");
  (*update.mutable_config())["K"] = "v";
  EXPECT_EQ(catalogue_->UpdateApp(update)->id(), app.id());
}

TEST_F(CatalogueTest, AFunctionsNameIsTakenWithinItsAppOnly) {
  const auto a = MakeApp("a");
  const auto b = MakeApp("b");
  MakeFunction(a.id(), "fn");
  MakeFunction(b.id(), "fn");
  EXPECT_EQ(catalogue_->CreateFunction(Input(a.id(), "fn")).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(CatalogueTest, AFunctionIsFoundByPathAndById) {
  const auto app = MakeApp("app");
  const auto function = MakeFunction(app.id(), "fn");
  EXPECT_EQ(function.app_name(), "app");
  EXPECT_EQ(catalogue_->GetFunction("", "app", "fn")->id(), function.id());
  EXPECT_EQ((*catalogue_->CurrentVersion("", "app/fn"))->version_id(), function.version_id());
  EXPECT_EQ((*catalogue_->CurrentVersion(function.id(), ""))->version_id(), function.version_id());
  EXPECT_EQ(catalogue_->CurrentVersion("", "nopath").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(CatalogueTest, AFunctionWithoutAnImageIdCannotBeCalledUntilItHasOne) {
  const auto app = MakeApp("app");
  const auto function = MakeFunction(app.id(), "fn", /*image=*/0);
  EXPECT_EQ(function.version_id(), "");
  const auto version = catalogue_->CurrentVersion(function.id(), "");
  EXPECT_EQ(version.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(version.status()), reason::kImageUnavailable);
  common::v1::Function update;
  update.set_id(function.id());
  update.set_image_id(ImageId(1));
  const auto updated = catalogue_->UpdateFunction(update);
  ASSERT_TRUE(updated.ok());
  EXPECT_EQ(updated->version_id().size(), 32u);
  EXPECT_TRUE(catalogue_->CurrentVersion(function.id(), "").ok());
}

TEST_F(CatalogueTest, AnUpdateThatChangesNothingIsNoUpdate) {
  const auto app = MakeApp("app");
  const auto function = MakeFunction(app.id(), "fn");
  listener_.told.clear();
  const int applied = store_.applied();
  clock_.Advance(absl::Seconds(1));
  common::v1::Function update;
  update.set_id(function.id());
  update.set_memory_mib(128);
  const auto updated = catalogue_->UpdateFunction(update);
  EXPECT_EQ(FromProto(updated->updated_at()), FromProto(function.updated_at()));
  common::v1::App same;
  same.set_id(app.id());
  EXPECT_EQ(FromProto(catalogue_->UpdateApp(same)->updated_at()), FromProto(app.updated_at()));
  EXPECT_EQ(store_.applied(), applied);
  EXPECT_TRUE(listener_.told.empty());
}

TEST_F(CatalogueTest, AChangeThatASnapshotDependsOnReplacesTheVersion) {
  const auto app = MakeApp("app");
  const auto function = MakeFunction(app.id(), "fn");
  listener_.told.clear();
  clock_.Advance(absl::Seconds(1));
  common::v1::Function update;
  update.set_id(function.id());
  (*update.mutable_config())["K"] = "v";
  const auto updated = catalogue_->UpdateFunction(update);
  ASSERT_TRUE(updated.ok());
  EXPECT_NE(updated->version_id(), function.version_id());
  EXPECT_EQ(FromProto(updated->updated_at()), clock_.Now());
  EXPECT_EQ(catalogue_->FindVersion(function.version_id()), nullptr);
  EXPECT_EQ(catalogue_->FindVersion(updated->version_id())->config().at("K"), "v");
  ASSERT_EQ(listener_.told.size(), 1u);
  EXPECT_EQ(listener_.told[0].old_version_id, function.version_id());
  EXPECT_EQ(listener_.told[0].new_version_id, updated->version_id());
}

TEST_F(CatalogueTest, AChangedTimeoutKeepsTheVersionButIsTold) {
  const auto app = MakeApp("app");
  const auto function = MakeFunction(app.id(), "fn");
  listener_.told.clear();
  common::v1::Function update;
  update.set_id(function.id());
  *update.mutable_timeout() = ToProto(absl::Seconds(5));
  EXPECT_EQ(catalogue_->UpdateFunction(update)->version_id(), function.version_id());
  ASSERT_EQ(listener_.told.size(), 1u);
  EXPECT_EQ(listener_.told[0].old_version_id, listener_.told[0].new_version_id);
  EXPECT_EQ(FromProto(catalogue_->FindVersion(function.version_id())->timeout()), absl::Seconds(5));
}

TEST_F(CatalogueTest, AChangedAnnotationIsToldToNobody) {
  const auto app = MakeApp("app");
  const auto function = MakeFunction(app.id(), "fn");
  listener_.told.clear();
  common::v1::Function update;
  update.set_id(function.id());
  (*update.mutable_annotations())["owner"] = "\"me\"";
  EXPECT_EQ(catalogue_->UpdateFunction(update)->version_id(), function.version_id());
  EXPECT_TRUE(listener_.told.empty());
}

TEST_F(CatalogueTest, AnAppsConfigMakesNewVersionsOfAllItsFunctionsButThoseThatOverrideIt) {
  const auto app = MakeApp("app");
  const auto plain = MakeFunction(app.id(), "plain");
  auto input = Input(app.id(), "overrides");
  (*input.mutable_config())["K"] = "mine";
  const auto overrides = *catalogue_->CreateFunction(input);
  const auto other = MakeFunction(MakeApp("other").id(), "fn");
  listener_.told.clear();
  common::v1::App update;
  update.set_id(app.id());
  (*update.mutable_config())["K"] = "app's";
  ASSERT_TRUE(catalogue_->UpdateApp(update).ok());
  EXPECT_NE(catalogue_->GetFunction(plain.id(), "", "")->version_id(), plain.version_id());
  EXPECT_EQ(catalogue_->GetFunction(overrides.id(), "", "")->version_id(), overrides.version_id());
  EXPECT_EQ(catalogue_->GetFunction(other.id(), "", "")->version_id(), other.version_id());
  ASSERT_EQ(listener_.told.size(), 1u);
  EXPECT_EQ(listener_.told[0].function_id, plain.id());
}

TEST_F(CatalogueTest, AnAppGoesWithItsFunctions) {
  const auto app = MakeApp("app");
  const auto function = MakeFunction(app.id(), "fn");
  const auto other = MakeFunction(MakeApp("other").id(), "fn");
  listener_.told.clear();
  ASSERT_TRUE(catalogue_->DeleteApp(app.id()).ok());
  EXPECT_FALSE(catalogue_->GetApp(app.id(), "").ok());
  EXPECT_FALSE(catalogue_->GetFunction(function.id(), "", "").ok());
  EXPECT_EQ(catalogue_->FindVersion(function.version_id()), nullptr);
  EXPECT_TRUE(catalogue_->GetFunction(other.id(), "", "").ok());
  ASSERT_EQ(listener_.told.size(), 1u);
  EXPECT_EQ(listener_.told[0].new_version_id, "");
  // The name is free again.
  MakeApp("app");
  Restart();
  EXPECT_FALSE(catalogue_->GetFunction(function.id(), "", "").ok());
  EXPECT_EQ(store_.Load()->functions.size(), 1u);
  EXPECT_EQ(store_.Load()->versions.size(), 1u);
}

TEST_F(CatalogueTest, ADeletedFunctionIsGoneFromEveryList) {
  const auto app = MakeApp("app");
  const auto function = MakeFunction(app.id(), "fn");
  ASSERT_TRUE(catalogue_->DeleteFunction(function.id()).ok());
  EXPECT_EQ(catalogue_->ListFunctions({})->functions_size(), 0);
  common::v1::ListFunctionsRequest of_app;
  of_app.set_app_id(app.id());
  EXPECT_EQ(catalogue_->ListFunctions(of_app)->functions_size(), 0);
  EXPECT_TRUE(catalogue_->LiveVersions().empty());
}

TEST_F(CatalogueTest, WhenTheStoreFailsNothingHasChanged) {
  const auto app = MakeApp("app");
  const auto function = MakeFunction(app.id(), "fn");
  listener_.told.clear();
  store_.FailApply(WithReason(absl::ResourceExhaustedError("disk full"), reason::kDiskFull));
  common::v1::App new_app;
  new_app.set_name("new");
  EXPECT_EQ(ReasonOf(catalogue_->CreateApp(new_app).status()), reason::kDiskFull);
  common::v1::Function update;
  update.set_id(function.id());
  update.set_memory_mib(999);
  EXPECT_FALSE(catalogue_->UpdateFunction(update).ok());
  EXPECT_FALSE(catalogue_->DeleteApp(app.id()).ok());
  EXPECT_FALSE(catalogue_->DeleteFunction(function.id()).ok());
  common::v1::App app_update;
  app_update.set_id(app.id());
  (*app_update.mutable_config())["K"] = "v";
  EXPECT_FALSE(catalogue_->UpdateApp(app_update).ok());

  EXPECT_FALSE(catalogue_->GetApp("", "new").ok());
  EXPECT_EQ(catalogue_->GetFunction(function.id(), "", "")->memory_mib(), 128u);
  EXPECT_EQ(catalogue_->GetApp(app.id(), "")->config_size(), 0);
  EXPECT_NE(catalogue_->FindVersion(function.version_id()), nullptr);
  EXPECT_TRUE(listener_.told.empty());
  store_.FailApply(absl::OkStatus());
  EXPECT_TRUE(catalogue_->CreateApp(new_app).ok());
}

TEST_F(CatalogueTest, ARestartedCatalogueIsAsItWas) {
  const auto app = MakeApp("app");
  const auto function = MakeFunction(app.id(), "fn");
  const auto imageless = MakeFunction(app.id(), "imageless", 0);
  Restart();
  EXPECT_EQ(catalogue_->GetApp("", "app")->SerializeAsString(), app.SerializeAsString());
  EXPECT_EQ(catalogue_->GetFunction(function.id(), "", "")->SerializeAsString(), function.SerializeAsString());
  EXPECT_EQ((*catalogue_->CurrentVersion("", "app/fn"))->version_id(), function.version_id());
  EXPECT_EQ(catalogue_->GetFunction("", "app", "imageless")->SerializeAsString(), imageless.SerializeAsString());
}

TEST_F(CatalogueTest, AppsAreListedByNamePageByPage) {
  for (const char* name : {"b", "a", "e", "c", "d"}) MakeApp(name);
  std::vector<std::string> names;
  common::v1::ListAppsRequest request;
  request.set_page_size(2);
  int pages = 0;
  do {
    const auto page = catalogue_->ListApps(request);
    ASSERT_TRUE(page.ok()) << page.status();
    EXPECT_LE(page->apps_size(), 2);
    for (const auto& app : page->apps()) names.push_back(app.name());
    request.set_page_token(page->next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  EXPECT_THAT(names, ElementsAre("a", "b", "c", "d", "e"));
  EXPECT_EQ(pages, 3);
}

TEST_F(CatalogueTest, ALastPageThatIsFullPromisesNoOther) {
  MakeApp("a");
  MakeApp("b");
  common::v1::ListAppsRequest request;
  request.set_page_size(2);
  EXPECT_EQ(catalogue_->ListApps(request)->next_page_token(), "");
}

TEST_F(CatalogueTest, APageTakesUpWhereTheLastEndedThoughThatEntryIsGone) {
  const auto a = MakeApp("a");
  MakeApp("b");
  common::v1::ListAppsRequest request;
  request.set_page_size(1);
  request.set_page_token(catalogue_->ListApps(request)->next_page_token());
  ASSERT_TRUE(catalogue_->DeleteApp(a.id()).ok());
  EXPECT_EQ(catalogue_->ListApps(request)->apps(0).name(), "b");
}

TEST_F(CatalogueTest, FunctionsOfEqualNamesInManyAppsAreListedOnceEach) {
  for (int i = 0; i < 7; ++i) MakeFunction(MakeApp(absl::StrCat("app", i)).id(), "fn");
  std::set<std::string> ids;
  common::v1::ListFunctionsRequest request;
  request.set_page_size(3);
  do {
    const auto page = catalogue_->ListFunctions(request);
    for (const auto& function : page->functions()) EXPECT_TRUE(ids.insert(function.id()).second);
    request.set_page_token(page->next_page_token());
  } while (!request.page_token().empty());
  EXPECT_EQ(ids.size(), 7u);
}

TEST_F(CatalogueTest, FunctionsOfAnUnknownAppAreNotAnEmptyList) {
  common::v1::ListFunctionsRequest request;
  request.set_app_name("none");
  EXPECT_EQ(ReasonOf(catalogue_->ListFunctions(request).status()), reason::kAppNotFound);
}

TEST_F(CatalogueTest, APageHas30EntriesWhereNoSizeIsGivenAndNeverMoreThan100) {
  for (int i = 0; i < 120; ++i) MakeApp(absl::StrCat("app", i));
  common::v1::ListAppsRequest request;
  EXPECT_EQ(catalogue_->ListApps(request)->apps_size(), 30);
  request.set_page_size(5000);
  EXPECT_EQ(catalogue_->ListApps(request)->apps_size(), 100);
}

TEST_F(CatalogueTest, AMadeUpPageTokenIsRefused) {
  common::v1::ListAppsRequest request;
  for (const char* token : {"!!", "Zm9v", "cDE6Zm9v"}) {
    request.set_page_token(token);
    const auto page = catalogue_->ListApps(request);
    EXPECT_EQ(page.status().code(), absl::StatusCode::kInvalidArgument) << token;
    EXPECT_EQ(ReasonMetadata(page.status(), "field"), "page_token");
  }
}

}  // namespace
}  // namespace thaw::scheduler
