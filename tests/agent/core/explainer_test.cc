#include "agent/checkpoint/explainer.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_slots.h"

namespace thaw::agent {
namespace {

namespace pb = thaw::common::v1;
using testing::FakeClock;
using testing::FakeSlotInit;

class FakeConnector final : public SlotInitConnector {
 public:
  absl::StatusOr<std::unique_ptr<SlotInit>> Connect(const std::string& ctl_dir, absl::Time) override {
    const auto it = inits.find(ctl_dir);
    if (it == inits.end()) return absl::DeadlineExceededError("no init");
    return std::make_unique<FakeSlotInit>(it->second);
  }
  FakeSlotInit::Control& Add(const std::string& ctl_dir, InitStatus::State state) {
    auto control = std::make_shared<FakeSlotInit::Control>();
    absl::MutexLock lock(&control->mu);
    control->status.state = state;
    control->status.instance_id = absl::StrCat("instance-of-", ctl_dir);
    inits[ctl_dir] = control;
    return *control;
  }
  std::map<std::string, std::shared_ptr<FakeSlotInit::Control>> inits;
};

class ExplainerTest : public ::testing::Test {
 protected:
  ExplainerTest()
      : explainer_({.node_id = "a"}, {[this](const std::string& id) { return id == "v1" ? version_ : std::nullopt; }, connector_,
                                      diagnoses_, clock_}) {}
  FakeClock clock_;
  FakeConnector connector_;
  DiagnosisLog diagnoses_;
  std::optional<Explainer::Version> version_ = Explainer::Version{};
  Explainer explainer_;
};

TEST_F(ExplainerTest, AVersionThatWasNeverHereIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(explainer_.Explain("v2").status()));
}

TEST_F(ExplainerTest, WhatIsKnownOfAVersionThatHasGoneIsStillTold) {
  pb::Diagnosis diagnosis;
  diagnosis.set_occasion("checkpoint");
  diagnoses_.Add("v2", diagnosis);
  const auto known = explainer_.Explain("v2");
  ASSERT_TRUE(known.ok());
  ASSERT_EQ(known->size(), 1u);
}

TEST_F(ExplainerTest, RunningInstancesAreLookedAtAndTheRulesDecide) {
  version_->ctl_dirs = {"gone", "empty", "running"};
  auto* rule = version_->freeze.add_rules();
  rule->set_kind(pb::OBSTACLE_KIND_UDP);
  rule->set_action(pb::OBSTACLE_ACTION_CLOSE);
  connector_.Add("empty", InitStatus::State::kEmpty);
  FakeSlotInit::Control& running = connector_.Add("running", InitStatus::State::kRunning);
  {
    absl::MutexLock lock(&running.mu);
    for (const auto kind : {pb::OBSTACLE_KIND_UDP, pb::OBSTACLE_KIND_TCP}) {
      running.findings.emplace_back().set_kind(kind);
      running.findings.back().set_fd(3);
    }
  }
  pb::Diagnosis older;
  older.set_occasion("checkpoint");
  diagnoses_.Add("v1", older);
  const auto known = explainer_.Explain("v1");
  ASSERT_TRUE(known.ok()) << known.status();
  ASSERT_EQ(known->size(), 2u);
  const pb::Diagnosis& look = (*known)[0];
  EXPECT_EQ(look.occasion(), "look");
  EXPECT_EQ(look.node_id(), "a");
  EXPECT_EQ(look.instance_id(), "instance-of-running");
  ASSERT_EQ(look.findings_size(), 2);
  EXPECT_FALSE(look.findings(0).blocks());
  EXPECT_TRUE(look.findings(1).blocks());
  EXPECT_EQ((*known)[1].occasion(), "checkpoint");
}

TEST_F(ExplainerTest, ALookThatFailsSaysSo) {
  version_->ctl_dirs = {"running"};
  FakeSlotInit::Control& running = connector_.Add("running", InitStatus::State::kRunning);
  {
    absl::MutexLock lock(&running.mu);
    running.look_result = absl::FailedPreconditionError("it is being dumped");
  }
  const auto known = explainer_.Explain("v1");
  ASSERT_EQ(known->size(), 1u);
  EXPECT_NE((*known)[0].error().find("it is being dumped"), std::string::npos);
}

}  // namespace
}  // namespace thaw::agent
