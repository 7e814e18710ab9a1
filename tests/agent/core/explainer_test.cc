#include "agent/checkpoint/explainer.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "agent/uniqueness/cures.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_images.h"
#include "tests/fakes/fake_slots.h"

namespace thaw::agent {
namespace {

namespace pb = thaw::common::v1;
using testing::FakeClock;
using testing::FakeImages;
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
                                      images_, diagnoses_, clock_}) {
    version_->ask = [this](const std::string& instance_id, FunctionRequest question, FunctionConnection::Done done) {
      asked_.push_back(absl::StrCat(instance_id, " ", question.method, " ", question.target));
      question_deadline_ = question.deadline;
      done(answer_);
    };
  }
  // A running instance with these findings.
  FakeSlotInit::Control& Run(const std::vector<std::pair<pb::ObstacleKind, int>>& kinds_and_descriptors) {
    version_->ctl_dirs = {"running"};
    FakeSlotInit::Control& running = connector_.Add("running", InitStatus::State::kRunning);
    absl::MutexLock lock(&running.mu);
    for (const auto& [kind, fd] : kinds_and_descriptors) {
      running.findings.emplace_back().set_kind(kind);
      running.findings.back().set_fd(fd);
    }
    return running;
  }
  pb::Diagnosis Look() {
    const auto known = explainer_.Explain("v1");
    EXPECT_TRUE(known.ok()) << known.status();
    return known.ok() && !known->empty() ? known->at(0) : pb::Diagnosis();
  }

  FakeClock clock_;
  FakeConnector connector_;
  FakeImages images_;
  DiagnosisLog diagnoses_;
  absl::StatusOr<FunctionReply> answer_ = FunctionReply{404, {}, ""};
  std::vector<std::string> asked_;
  absl::Time question_deadline_;
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
  auto* rule = version_->state.mutable_spec()->mutable_freeze()->add_rules();
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

TEST_F(ExplainerTest, WhoOpenedADescriptorIsAskedOfTheFunction) {
  Run({{pb::OBSTACLE_KIND_TCP, 7}, {pb::OBSTACLE_KIND_FILE, 9}, {pb::OBSTACLE_KIND_SHARED_MEMORY, -1}});
  answer_ = FunctionReply{200, {}, R"json({"descriptors":[{"fd":7,"opened_by":["com.shop.Db.connect(Db.java:31)"]}]})json"};
  const pb::Diagnosis look = Look();
  EXPECT_EQ(asked_, std::vector<std::string>{"instance-of-running GET /thaw/descriptors"});
  EXPECT_LE(question_deadline_, clock_.Now() + absl::Seconds(1)) << "a call may wait behind it";
  ASSERT_EQ(look.findings_size(), 3);
  ASSERT_EQ(look.findings(0).opened_by_size(), 1);
  EXPECT_EQ(look.findings(0).opened_by(0), "com.shop.Db.connect(Db.java:31)");
  EXPECT_EQ(look.findings(1).opened_by_size(), 0) << "native code has opened it";
  EXPECT_EQ(look.stacks(), pb::Diagnosis::STACKS_KNOWN);
  EXPECT_EQ(look.error(), "");
}

TEST_F(ExplainerTest, AChildsDescriptorIsNotTakenForTheJvmsOfTheSameNumber) {
  FakeSlotInit::Control& running = Run({{pb::OBSTACLE_KIND_TCP, 7}, {pb::OBSTACLE_KIND_FILE, 7}});
  {
    absl::MutexLock lock(&running.mu);
    running.findings[0].set_pid(10001);
    running.findings[1].set_pid(10009);
    running.randomness.resize(2);
    running.randomness[0].pid = 10001;
    running.randomness[0].has_java = true;
    running.randomness[0].shim = "---+";
    running.randomness[1].pid = 10009;
  }
  answer_ = FunctionReply{200, {}, R"json({"descriptors":[{"fd":7,"opened_by":["com.shop.Db.connect(Db.java:31)"]}]})json"};
  const pb::Diagnosis look = Look();
  ASSERT_EQ(look.findings_size(), 2);
  EXPECT_EQ(look.findings(0).opened_by_size(), 1);
  EXPECT_EQ(look.findings(1).opened_by_size(), 0);
}

TEST_F(ExplainerTest, AFunctionWithNoDescriptorInTheWayIsAskedNothing) {
  Run({{pb::OBSTACLE_KIND_SHARED_MEMORY, -1}});
  EXPECT_EQ(Look().stacks(), pb::Diagnosis::STACKS_UNSPECIFIED);
  EXPECT_TRUE(asked_.empty()) << "somebody's call might wait for it";
}

TEST_F(ExplainerTest, AFunctionWithAnotherFdkIsAskedNothing) {
  Run({{pb::OBSTACLE_KIND_TCP, 7}});
  images_.image.labels.clear();
  const pb::Diagnosis look = Look();
  EXPECT_TRUE(asked_.empty()) << "it would take the question for a call";
  EXPECT_EQ(look.stacks(), pb::Diagnosis::STACKS_UNSPECIFIED);
  EXPECT_EQ(look.findings_size(), 1);
}

TEST_F(ExplainerTest, WhyThereIsNoStackIsSaid) {
  Run({{pb::OBSTACLE_KIND_TCP, 7}});
  EXPECT_EQ(Look().stacks(), pb::Diagnosis::STACKS_OFF) << "404";
  answer_ = absl::FailedPreconditionError("it is busy");
  EXPECT_EQ(Look().stacks(), pb::Diagnosis::STACKS_BUSY);
  answer_ = absl::DeadlineExceededError("no answer");
  EXPECT_EQ(Look().stacks(), pb::Diagnosis::STACKS_UNANSWERED);
  answer_ = FunctionReply{500, {}, ""};
  const pb::Diagnosis look = Look();
  EXPECT_EQ(look.stacks(), pb::Diagnosis::STACKS_UNANSWERED);
  EXPECT_EQ(look.error(), "") << "what was found is told all the same";
  EXPECT_EQ(look.findings_size(), 1);
}

TEST_F(ExplainerTest, ALookTellsWhatIsCuredAndWhatIsNotAsACheckpointWould) {
  FakeSlotInit::Control& running = Run({});
  ProcessRandomness java;
  java.has_java = true;
  java.shim = "---+";
  java.hidden_openssl = {"/app/libx.so"};
  {
    absl::MutexLock lock(&running.mu);
    running.randomness = {java};
  }
  const pb::Diagnosis look = Look();
  EXPECT_EQ(std::vector<std::string>(look.cures().begin(), look.cures().end()),
            (std::vector<std::string>{"droppable-pages", "java-random"}));
  ASSERT_EQ(look.uncured_size(), 1);
  EXPECT_NE(look.uncured(0).find("/app/libx.so"), std::string::npos);
  ASSERT_EQ(look.findings_size(), 1);
  EXPECT_EQ(look.findings(0).kind(), pb::OBSTACLE_KIND_RANDOMNESS);
  EXPECT_TRUE(look.findings(0).blocks());
  EXPECT_TRUE(asked_.empty()) << "it is no descriptor";

  version_->state.mutable_spec()->mutable_freeze()->set_accept_uncured(true);
  EXPECT_FALSE(Look().findings(0).blocks());
  version_->state.mutable_spec()->mutable_freeze()->add_without_cures("openssl");
  EXPECT_EQ(Look().findings_size(), 0);

  // No cure of these reaches a JVM that writes itself.
  version_->state.mutable_spec()->set_engine("crac");
  const pb::Diagnosis crac = Look();
  EXPECT_EQ(crac.cures_size(), 0);
  ASSERT_EQ(crac.uncured_size(), 1);
  EXPECT_EQ(crac.uncured(0), kUncuredByCrac);
  EXPECT_EQ(crac.findings_size(), 0) << "the function has chosen its engine";
}

TEST_F(ExplainerTest, RandomNumbersThatCanNotBeLookedAtAreNotPassedOver) {
  FakeSlotInit::Control& running = Run({{pb::OBSTACLE_KIND_TCP, 7}});
  {
    absl::MutexLock lock(&running.mu);
    running.randomness_result = absl::FailedPreconditionError("process 10001 (python3) has not seen to its random numbers");
  }
  const pb::Diagnosis look = Look();
  EXPECT_NE(look.error().find("has not seen to its random numbers"), std::string::npos) << look.error();
  EXPECT_EQ(look.findings_size(), 1);
}

}  // namespace
}  // namespace thaw::agent
