// Restore-time config and secrets on their way to the nodes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status/reasons.h"
#include "tests/scheduler/support/test_scheduler.h"

namespace thaw::scheduler {
namespace {

using testing::FakeNodeLink;
using testing::TestScheduler;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

class GivenTest : public ::testing::Test {
 protected:
  GivenTest() {
    function_ = scheduler_.MakeFunction("shop", "hello");
    app_id_ = function_.app_id();
    scheduler_.Join(TestScheduler::Registration("a"), link_);
  }

  // The function with URL as restore-time config and the secret `key`.
  void Declare() {
    common::v1::Function change;
    change.set_id(function_.id());
    change.mutable_freeze()->add_restore_time_config("URL");
    change.mutable_freeze()->add_secrets()->set_name("key");
    auto updated = scheduler_->catalogue().UpdateFunction(change);
    ASSERT_TRUE(updated.ok()) << updated.status();
    function_ = *updated;
  }
  void Configure(const std::string& key, const std::string& value) {
    common::v1::Function change;
    change.set_id(function_.id());
    (*change.mutable_config())[key] = value;
    auto updated = scheduler_->catalogue().UpdateFunction(change);
    ASSERT_TRUE(updated.ok()) << updated.status();
    function_ = *updated;
  }
  absl::StatusOr<common::v1::Secret> Set(const std::string& name, const std::string& value) {
    common::v1::SetSecretRequest request;
    request.set_app_id(app_id_);
    request.set_name(name);
    request.set_value(value);
    return scheduler_->cluster().SetSecret(request);
  }
  v1::VersionState State() {
    auto state = scheduler_->cluster().GetVersion(function_.version_id());
    EXPECT_TRUE(state.ok()) << state.status();
    return state.ok() ? *state : v1::VersionState();
  }
  // States of the function's version that the node has been sent.
  std::vector<v1::VersionState> Sent() {
    for (auto& message : link_->Take()) messages_.push_back(std::move(message));
    std::vector<v1::VersionState> states;
    for (const auto& message : messages_) {
      if (message.version_state().spec().version_id() == function_.version_id()) states.push_back(message.version_state());
    }
    return states;
  }

  TestScheduler scheduler_;
  std::shared_ptr<FakeNodeLink> link_ = std::make_shared<FakeNodeLink>();
  std::vector<v1::SchedulerMessage> messages_;
  common::v1::Function function_;
  std::string app_id_;
};

TEST_F(GivenTest, AChangedRestoreTimeValueKeepsTheVersionAndReachesTheNode) {
  Declare();
  Configure("URL", "one");
  const std::string version = function_.version_id();
  const std::size_t before = Sent().size();
  Configure("URL", "two");
  EXPECT_EQ(function_.version_id(), version);
  ASSERT_EQ(Sent().size(), before + 1);
  EXPECT_THAT(Sent().back().restore_time_config(), Contains(Pair("URL", "two")));
  EXPECT_THAT(Sent().back().spec().config(), Not(Contains(Pair("URL", ::testing::_))));
  // As do those of the app.
  common::v1::App app;
  app.set_id(app_id_);
  (*app.mutable_config())["URL"] = "of the app";
  Configure("URL", "");
  ASSERT_TRUE(scheduler_->catalogue().UpdateApp(app).ok());
  EXPECT_THAT(State().restore_time_config(), Contains(Pair("URL", "of the app")));
  EXPECT_EQ(scheduler_->catalogue().GetFunction(function_.id(), "", "")->version_id(), version);
}

TEST_F(GivenTest, AnyOtherChangedValueMakesANewVersion) {
  Declare();
  const std::string version = function_.version_id();
  Configure("OTHER", "x");
  EXPECT_NE(function_.version_id(), version);
}

TEST_F(GivenTest, ASecretGoesToThoseThatNameItAndKeepsTheVersion) {
  ASSERT_TRUE(Set("key", "one").ok());
  ASSERT_TRUE(Set("other", "not for it").ok());
  EXPECT_THAT(State().secrets(), IsEmpty());
  Declare();
  const std::string version = function_.version_id();
  EXPECT_THAT(State().secrets(), ::testing::UnorderedElementsAre(Pair("key", "one")));
  ASSERT_TRUE(Set("key", "two").ok());
  EXPECT_EQ(scheduler_->catalogue().GetFunction(function_.id(), "", "")->version_id(), version);
  EXPECT_THAT(Sent().back().secrets(), Contains(Pair("key", "two")));
  const std::size_t before = Sent().size();
  ASSERT_TRUE(Set("other", "still not for it").ok());
  EXPECT_EQ(Sent().size(), before);
  common::v1::DeleteSecretRequest gone;
  gone.set_app_id(app_id_);
  gone.set_name("key");
  ASSERT_TRUE(scheduler_->cluster().DeleteSecret(gone).ok());
  EXPECT_THAT(Sent().back().secrets(), IsEmpty());
}

TEST_F(GivenTest, ANodeThatJoinsIsToldTheValues) {
  Declare();
  ASSERT_TRUE(Set("key", "one").ok());
  scheduler_.Restart();
  link_ = std::make_shared<FakeNodeLink>();
  messages_.clear();
  scheduler_.Join(TestScheduler::Registration("a"), link_);
  ASSERT_EQ(Sent().size(), 1u);
  EXPECT_THAT(Sent()[0].secrets(), Contains(Pair("key", "one")));
}

TEST_F(GivenTest, ASecretOfAnUnknownAppIsRefused) {
  app_id_ = "none";
  const auto set = Set("key", "v");
  EXPECT_EQ(ReasonOf(set.status()), reason::kAppNotFound);
  EXPECT_THAT(std::string(set.status().message()), HasSubstr("none"));
}

TEST_F(GivenTest, WithTheKeyLostTheSchedulerStartsAndTheFunctionLacksItsSecret) {
  Declare();
  ASSERT_TRUE(Set("key", "one").ok());
  scheduler_.sealing_byte = 'x';
  scheduler_.Restart();
  EXPECT_THAT(State().secrets(), IsEmpty());
  ASSERT_TRUE(Set("key", "again").ok());
  EXPECT_THAT(State().secrets(), Contains(Pair("key", "again")));
}

}  // namespace
}  // namespace thaw::scheduler
