// What instances are given beside their calls: secrets and config that change without a new version.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agent/pool/version_pool.h"
#include "tests/agent/core/version_pool_fixture.h"

namespace thaw::agent {
namespace {

using testing::FakeFunction;

VersionState SecretState() {
  VersionState state = MakeState();
  state.mutable_spec()->mutable_freeze()->add_secrets()->set_name("key");
  (*state.mutable_secrets())["key"] = "one";
  return state;
}

VersionState LateSecretState() {
  VersionState state = MakeState();
  auto& use = *state.mutable_spec()->mutable_freeze()->add_secrets();
  use.set_name("late");
  use.set_after_restore_only(true);
  (*state.mutable_secrets())["late"] = "one";
  return state;
}

TEST_F(VersionPoolTest, ChangedConfigAndSecretsReachRunningInstancesAndNothingElseDoes) {
  VersionState state = SecretState();
  state.mutable_spec()->mutable_freeze()->add_restore_time_config("URL");
  Make(state);
  const auto call = InvokeAndStart();
  pool_->Update(state);
  EXPECT_TRUE(Orders().empty()) << "the same again is no news";
  (*state.mutable_secrets())["key"] = "two";
  (*state.mutable_restore_time_config())["URL"] = "now";
  pool_->Update(state);
  EXPECT_EQ(Orders(), std::vector<std::string>{"give"}) << "during its call, too";
  starter_.functions[0]->AnswerOk();
  EXPECT_TRUE(call->has_value());
  EXPECT_EQ(Orders().size(), 1u);
  EXPECT_EQ(LastGiven().secrets.at("key"), "two");
  EXPECT_EQ(LastGiven().config.at("URL"), "now");
}

TEST_F(VersionPoolTest, WhatChangesDuringAStartIsGivenRightAfterIt) {
  VersionState state = SecretState();
  Make(state);
  Invoke();
  (*state.mutable_secrets())["key"] = "two";
  pool_->Update(state);
  starts_.RunAll();
  EXPECT_EQ(Orders(), std::vector<std::string>{"give"});
  EXPECT_EQ(LastGiven().secrets.at("key"), "two");
}

TEST_F(VersionPoolTest, AnInstanceThatIsToBeFrozenGetsLateSecretsWhenAnotherWasFrozenInstead) {
  Make(LateSecretState());
  InvokeAndStart();
  EXPECT_TRUE(starter_.awaits_freeze);
  starter_.functions[0]->AnswerOk();
  EXPECT_TRUE(Orders().empty());
  pool_->Update(WithSnapshot("s", LateSecretState()));
  EXPECT_EQ(Orders(), std::vector<std::string>{"give"});
  EXPECT_EQ(LastGiven().secrets.at("late"), "one");
  EXPECT_TRUE(LastGiven().sealed);
}

TEST_F(VersionPoolTest, WhereFreezingIsGivenUpLateSecretsAreGivenAtOnce) {
  Make(LateSecretState());
  FakeFunction& function = InstanceAfterCalls(5);
  Deny(absl::Seconds(5));
  EXPECT_TRUE(Orders().empty()) << "it may be granted later";
  clock_.Advance(absl::Seconds(5));
  Warm(function);
  Deny(kForEver);
  EXPECT_EQ(Orders(), std::vector<std::string>{"give"});
}

TEST_F(VersionPoolTest, AVersionThatIsNeverFrozenDoesNotAwaitIt) {
  Make(WithMode(Policy::MODE_NEVER, LateSecretState()));
  InvokeAndStart();
  EXPECT_FALSE(starter_.awaits_freeze);
}

TEST_F(VersionPoolTest, ASealedInstanceDoesNotAskForACheckpoint) {
  Make(LateSecretState());
  FakeFunction& function = InstanceAfterCalls(5);
  ASSERT_EQ(wanted_.size(), 1u);
  checkpointer_.seals = true;
  checkpointer_.publish_result = absl::InternalError("the canary failed");
  Grant();
  checkpoints_.RunAll();
  clock_.Advance(absl::Seconds(10));
  Warm(function);
  EXPECT_EQ(wanted_.size(), 1u) << "it has been given what no snapshot may have";
}

}  // namespace
}  // namespace thaw::agent
