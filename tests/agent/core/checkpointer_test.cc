#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "agent/checkpoint/crac_checkpointer.h"
#include "agent/checkpoint/criu_checkpointer.h"
#include "agent/engine/crac_engine.h"
#include "agent/instance/diagnosis.h"
#include "common/log/log.h"
#include "common/rpc/client.h"
#include "common/status/reasons.h"
#include "tests/agent/core/starter_fixture.h"

namespace thaw::agent {
namespace {

class CheckpointerTest : public StarterTest {
 protected:
  CheckpointerTest()
      : checkpointer_(CriuCheckpointer::Options{.node_id = "a"},
                      CriuCheckpointer::Deps{store_, slots_, images_, *restorer_, clock_, *paths_, NullLogger(),
                                             &diagnoses_, &metrics_}),
        slot_(*slots_.Create(version_, absl::InfiniteFuture())),
        connection_(dialer_.NewConnection("")) {
    request_.version = version_;
    request_.instance_id = "i1";
    request_.answered = 5;
    request_.slot = slot_.get();
    request_.connection = connection_.get();
    dialer_.answer = [this](const FunctionRequest& request) -> absl::StatusOr<FunctionReply> {
      asked_.push_back(request.method + " " + request.target);
      if (request.target == "/thaw/checkpoint") {
        if (prepare_status_ == 200) {
          InitEvent ready;
          ready.kind = InitEvent::Kind::kCheckpointReady;
          slots_.control(0)->Tell(ready);
        }
        return FunctionReply{prepare_status_, {}, "{\"message\":\"the pool is busy\"}"};
      }
      if (request.target == "/call") {
        called_.push_back(request);
        return FunctionReply{call_status_, {}, ""};
      }
      if (request.target == "/thaw/descriptors") return FunctionReply{descriptors_.empty() ? 404 : 200, {}, descriptors_};
      return FunctionReply{probe_status_, {}, ""};
    };
  }

  void Find(thaw::common::v1::ObstacleKind kind, const std::string& what, int fd) {
    thaw::common::v1::Finding finding;
    finding.set_kind(kind);
    finding.set_what(what);
    finding.set_pid(10001);
    finding.set_fd(fd);
    absl::MutexLock lock(&slots_.control(0)->mu);
    slots_.control(0)->findings.push_back(finding);
  }
  void AddRule(thaw::common::v1::ObstacleKind kind, thaw::common::v1::ObstacleAction action) {
    auto* rule = request_.version.mutable_spec()->mutable_freeze()->add_rules();
    rule->set_kind(kind);
    rule->set_action(action);
  }
  thaw::common::v1::Diagnosis LastDiagnosis() const {
    const auto all = diagnoses_.Get(version_.spec().version_id());
    return all.empty() ? thaw::common::v1::Diagnosis() : all[0];
  }

  // What init would have written.
  void WriteDump(const FrozenInstance& frozen) {
    fs::create_directories(frozen.dump_dir + "/images");
    std::ofstream(frozen.dump_dir + "/images/core.img") << "core";
  }
  std::vector<std::string> Volume() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(root_ + "/versions/v1/cracdata")) names.push_back(entry.path().filename());
    return names;
  }

  std::string descriptors_;
  DiagnosisLog diagnoses_;
  CriuCheckpointer checkpointer_;
  std::unique_ptr<Slot> slot_;
  std::unique_ptr<FunctionConnection> connection_;
  CheckpointRequest request_;
  int prepare_status_ = 200;
  int probe_status_ = 200;
  int call_status_ = 200;
  std::vector<std::string> asked_;
  // What reached the user's handler.
  std::vector<FunctionRequest> called_;
};

TEST_F(CheckpointerTest, ACanaryRequestOfTheFunctionsOwnMustBeAnsweredByTheRestoredProcess) {
  auto& canary = *request_.version.mutable_spec()->mutable_freeze()->mutable_canary();
  canary.set_body("ping");
  canary.set_content_type("text/plain");
  *request_.version.mutable_spec()->mutable_timeout() = ToProto(absl::Seconds(3));
  FrozenInstance frozen = checkpointer_.Freeze(request_);
  ASSERT_TRUE(frozen.status.ok()) << frozen.status;
  EXPECT_TRUE(called_.empty());
  WriteDump(frozen);
  EXPECT_TRUE(checkpointer_.Publish(request_, frozen, nullptr).ok());
  EXPECT_EQ(asked_, (std::vector<std::string>{"GET /thaw/descriptors", "POST /thaw/checkpoint", "GET /thaw/probe", "POST /call"}));
  ASSERT_EQ(called_.size(), 1u);
  EXPECT_EQ(called_[0].body, "ping");
  EXPECT_EQ(called_[0].deadline, clock_.Now() + absl::Seconds(3));

  call_status_ = 502;
  frozen = checkpointer_.Freeze(request_);
  WriteDump(frozen);
  const auto refused = checkpointer_.Publish(request_, frozen, nullptr);
  EXPECT_EQ(ReasonOf(refused.status()), reason::kCanaryFailed);
  EXPECT_TRUE(absl::StrContains(refused.status().message(), "its canary request with HTTP status 502")) << refused.status();
}

TEST_F(CheckpointerTest, FreezesVerifiesAndPublishes) {
  const FrozenInstance frozen = checkpointer_.Freeze(request_);
  ASSERT_TRUE(frozen.status.ok()) << frozen.status;
  EXPECT_EQ(frozen.instance, InstanceAfter::kServing);
  EXPECT_EQ(slots_.control(0)->Orders(), (std::vector<std::string>{"dump /cracdata/dump-i1", "resume"}));
  WriteDump(frozen);
  auto published = checkpointer_.Publish(request_, frozen, nullptr);
  ASSERT_TRUE(published.ok()) << published.status();
  EXPECT_EQ(published->snapshot.node_id(), "a");
  EXPECT_EQ(published->snapshot.invocations(), 5u);
  EXPECT_NE(published->canary_slot, nullptr);
  EXPECT_EQ(Volume(), std::vector<std::string>{published->snapshot.id()}) << "laid out already, no half dump left";
  EXPECT_EQ(asked_, (std::vector<std::string>{"GET /thaw/descriptors", "POST /thaw/checkpoint", "GET /thaw/probe"})) << "the user's handler is not called";
}

TEST_F(CheckpointerTest, LateSecretsComeAfterTheDumpAndBeforeTheInstanceWakes) {
  AddGiven(request_.version);
  const FrozenInstance frozen = checkpointer_.Freeze(request_);
  ASSERT_TRUE(frozen.status.ok()) << frozen.status;
  EXPECT_TRUE(frozen.sealed);
  EXPECT_EQ(slots_.control(0)->Orders(), (std::vector<std::string>{"dump /cracdata/dump-i1", "give", "resume"}));
  {
    absl::MutexLock lock(&slots_.control(0)->mu);
    EXPECT_EQ(slots_.control(0)->last_given.secrets.at("late"), "l");
  }
  WriteDump(frozen);
  ASSERT_TRUE(checkpointer_.Publish(request_, frozen, nullptr).ok());
  // The canary is not for users, and what it would be given could end up with whoever made it fail.
  absl::MutexLock lock(&slots_.control(1)->mu);
  const Given& canary = slots_.control(1)->last_restore.given;
  EXPECT_EQ(canary.secrets, (std::map<std::string, std::string>{{"early", "e"}}));
  EXPECT_FALSE(canary.sealed);
}

TEST_F(CheckpointerTest, AfterAFailedDumpTheInstanceGetsNoLateSecrets) {
  AddGiven(request_.version);
  {
    absl::MutexLock lock(&slots_.control(0)->mu);
    slots_.control(0)->dump_result = absl::FailedPreconditionError("a socket");
  }
  const FrozenInstance frozen = checkpointer_.Freeze(request_);
  EXPECT_FALSE(frozen.sealed);
  EXPECT_EQ(slots_.control(0)->Orders(), (std::vector<std::string>{"dump /cracdata/dump-i1", "resume: a socket"}));
}

TEST_F(CheckpointerTest, ASealedInstanceIsNotFrozen) {
  request_.sealed = true;
  const FrozenInstance frozen = checkpointer_.Freeze(request_);
  EXPECT_EQ(ReasonOf(frozen.status), reason::kCheckpointRefused);
  EXPECT_EQ(frozen.instance, InstanceAfter::kServing);
  EXPECT_TRUE(slots_.control(0)->Orders().empty());
  EXPECT_TRUE(asked_.empty()) << "its resources were not troubled";
}

TEST_F(CheckpointerTest, ResourceThatRefusesCancelsAndItServesOn) {
  prepare_status_ = 409;
  const FrozenInstance frozen = checkpointer_.Freeze(request_);
  EXPECT_EQ(ReasonOf(frozen.status), reason::kCheckpointRefused);
  EXPECT_NE(frozen.status.message().find("the pool is busy"), absl::string_view::npos);
  EXPECT_EQ(frozen.instance, InstanceAfter::kServing);
  EXPECT_TRUE(slots_.control(0)->Orders().empty()) << "nothing was dumped";
  EXPECT_TRUE(Volume().empty());
  const auto diagnosis = LastDiagnosis();
  EXPECT_EQ(diagnosis.occasion(), "checkpoint");
  ASSERT_EQ(diagnosis.findings_size(), 1);
  EXPECT_EQ(diagnosis.findings(0).kind(), thaw::common::v1::OBSTACLE_KIND_RESOURCE);
  EXPECT_EQ(diagnosis.findings(0).what(), "the pool is busy");
  EXPECT_NE(diagnosis.error(), "");
}

TEST_F(CheckpointerTest, WhatIsInTheWayRefusesBeforeTheDumpAndSaysWhoOpenedIt) {
  descriptors_ = R"json({"descriptors":[{"fd":7,"opened_by":["com.example.Db.connect(Db.java:12)"]}]})json";
  Find(thaw::common::v1::OBSTACLE_KIND_TCP, "10.0.0.2:1 -> 10.0.0.7:5432", 7);
  const FrozenInstance frozen = checkpointer_.Freeze(request_);
  EXPECT_EQ(ReasonOf(frozen.status), reason::kCheckpointRefused);
  EXPECT_NE(frozen.status.message().find("10.0.0.7:5432"), absl::string_view::npos) << frozen.status;
  EXPECT_EQ(frozen.instance, InstanceAfter::kServing);
  const std::vector<std::string> orders = slots_.control(0)->Orders();
  ASSERT_EQ(orders.size(), 1u) << "nothing was dumped";
  EXPECT_EQ(orders[0].substr(0, 11), "resume: tcp") << "and the function is told why";
  EXPECT_TRUE(Volume().empty());
  const auto diagnosis = LastDiagnosis();
  ASSERT_EQ(diagnosis.findings_size(), 1);
  EXPECT_TRUE(diagnosis.findings(0).blocks());
  EXPECT_EQ(diagnosis.findings(0).opened_by(0), "com.example.Db.connect(Db.java:12)");
  EXPECT_EQ(diagnosis.stacks(), thaw::common::v1::Diagnosis::STACKS_KNOWN);
}

TEST_F(CheckpointerTest, WithoutTheAgentThatRemembersStacksTheDiagnosisSaysThatItIsOff) {
  Find(thaw::common::v1::OBSTACLE_KIND_TCP, "10.0.0.2:1 -> 10.0.0.7:5432", 7);
  EXPECT_FALSE(checkpointer_.Freeze(request_).status.ok());
  EXPECT_EQ(LastDiagnosis().stacks(), thaw::common::v1::Diagnosis::STACKS_OFF);
  images_.image.labels.clear();
  EXPECT_FALSE(checkpointer_.Freeze(request_).status.ok());
  EXPECT_EQ(LastDiagnosis().stacks(), thaw::common::v1::Diagnosis::STACKS_UNSPECIFIED) << "nobody who could tell was asked";
}

TEST_F(CheckpointerTest, ARuleLetsTheDumpGoOnWithItsAction) {
  Find(thaw::common::v1::OBSTACLE_KIND_TCP, "10.0.0.2:1 -> 10.0.0.7:5432", 7);
  AddRule(thaw::common::v1::OBSTACLE_KIND_TCP, thaw::common::v1::OBSTACLE_ACTION_CLOSE);
  const FrozenInstance frozen = checkpointer_.Freeze(request_);
  ASSERT_TRUE(frozen.status.ok()) << frozen.status;
  absl::MutexLock lock(&slots_.control(0)->mu);
  ASSERT_EQ(slots_.control(0)->last_dump.actions.size(), 1u);
  EXPECT_EQ(slots_.control(0)->last_dump.actions[0].action(), thaw::common::v1::OBSTACLE_ACTION_CLOSE);
}

TEST_F(CheckpointerTest, CriusOwnErrorIsADiagnosisWithItsLog) {
  absl::Status failed = absl::FailedPreconditionError("criu dump failed: something");
  thaw::common::v1::Diagnosis told;
  told.set_raw_log("Error (a.c:1): something");
  told.add_findings()->set_kind(thaw::common::v1::OBSTACLE_KIND_OTHER);
  AttachDiagnosis(told, failed);
  {
    absl::MutexLock lock(&slots_.control(0)->mu);
    slots_.control(0)->dump_result = failed;
  }
  checkpointer_.Freeze(request_);
  const auto diagnosis = LastDiagnosis();
  EXPECT_EQ(diagnosis.raw_log(), "Error (a.c:1): something");
  ASSERT_EQ(diagnosis.findings_size(), 1);
  EXPECT_TRUE(diagnosis.findings(0).blocks());
}

TEST_F(CheckpointerTest, FailedDumpResumesTheFunction) {
  {
    absl::MutexLock lock(&slots_.control(0)->mu);
    slots_.control(0)->dump_result = absl::ResourceExhaustedError("no space left on device");
  }
  const FrozenInstance frozen = checkpointer_.Freeze(request_);
  EXPECT_EQ(ReasonOf(frozen.status), reason::kDiskFull);
  EXPECT_EQ(frozen.instance, InstanceAfter::kServing);
  EXPECT_EQ(slots_.control(0)->Orders().back(), "resume: no space left on device") << "the function is told why";
  EXPECT_TRUE(Volume().empty());
}

TEST_F(CheckpointerTest, FunctionThatDoesNotComeBackIsLost) {
  dialer_.listen = {absl::DeadlineExceededError("no socket")};
  EXPECT_EQ(checkpointer_.Freeze(request_).instance, InstanceAfter::kLost);
}

TEST_F(CheckpointerTest, CanaryThatFailsPublishesNothing) {
  const FrozenInstance frozen = checkpointer_.Freeze(request_);
  WriteDump(frozen);
  probe_status_ = 500;
  const std::size_t before = store_.List().size();
  EXPECT_FALSE(checkpointer_.Publish(request_, frozen, nullptr).ok());
  EXPECT_EQ(LastDiagnosis().occasion(), "canary");
  EXPECT_NE(LastDiagnosis().error(), "");
  EXPECT_EQ(store_.List().size(), before);
  EXPECT_TRUE(Volume().empty());
}

TEST_F(CheckpointerTest, FullDiskWhilePublishingPublishesNothing) {
  const FrozenInstance frozen = checkpointer_.Freeze(request_);
  WriteDump(frozen);
  store_.FailNext(FakeSnapshotStore::Op::kPublish, absl::ResourceExhaustedError("disk full"));
  EXPECT_TRUE(absl::IsResourceExhausted(checkpointer_.Publish(request_, frozen, nullptr).status()));
  EXPECT_TRUE(Volume().empty());
}

class UncuredCheckpointerTest : public CheckpointerTest {
 protected:
  UncuredCheckpointerTest() {
    ProcessRandomness process;
    process.program = "/func";
    process.hidden_openssl = {"/app/_rust.abi3.so"};
    absl::MutexLock lock(&slots_.control(0)->mu);
    slots_.control(0)->randomness = {process};
  }
};

TEST_F(UncuredCheckpointerTest, FunctionWhoseRestoresWouldShareRandomNumbersIsNotFrozen) {
  const FrozenInstance frozen = checkpointer_.Freeze(request_);
  EXPECT_EQ(ReasonOf(frozen.status), reason::kCheckpointRefused);
  EXPECT_NE(frozen.status.message().find("/app/_rust.abi3.so"), absl::string_view::npos) << frozen.status;
  EXPECT_EQ(frozen.instance, InstanceAfter::kServing);
  EXPECT_EQ(frozen.cures.uncured.size(), 1u);
  ASSERT_EQ(LastDiagnosis().findings_size(), 1);
  EXPECT_EQ(LastDiagnosis().findings(0).kind(), thaw::common::v1::OBSTACLE_KIND_RANDOMNESS);
  EXPECT_TRUE(LastDiagnosis().findings(0).blocks());
  EXPECT_TRUE(slots_.control(0)->Orders().empty()) << "nothing was dumped";
  EXPECT_TRUE(asked_.empty()) << "its resources were not told of a checkpoint";
  EXPECT_TRUE(Volume().empty());
}

TEST_F(UncuredCheckpointerTest, WhatItsSettingsAcceptIsFrozenAndSaidOfTheSnapshot) {
  request_.version.mutable_spec()->mutable_freeze()->set_accept_uncured(true);
  request_.version.mutable_spec()->mutable_freeze()->add_without_cures("go-random");
  const FrozenInstance frozen = checkpointer_.Freeze(request_);
  ASSERT_TRUE(frozen.status.ok()) << frozen.status;
  {
    absl::MutexLock lock(&slots_.control(0)->mu);
    EXPECT_EQ(slots_.control(0)->last_dump.without_cures, std::vector<std::string>{"go-random"});
  }
  WriteDump(frozen);
  const auto published = checkpointer_.Publish(request_, frozen, nullptr);
  ASSERT_TRUE(published.ok()) << published.status();
  ASSERT_EQ(published->snapshot.uncured_size(), 1);
  EXPECT_EQ(published->snapshot.uncured(0).substr(0, 9), "openssl: ");
}

TEST_F(CheckpointerTest, ImageWithoutOurFdkIsDumpedAsItIs) {
  images_.image.labels.clear();
  const FrozenInstance frozen = checkpointer_.Freeze(request_);
  ASSERT_TRUE(frozen.status.ok());
  EXPECT_TRUE(asked_.empty());
  EXPECT_EQ(slots_.control(0)->Orders(), std::vector<std::string>{"dump /cracdata/dump-i1"});
}

// A JVM of engine crac, as far as the agent sees it.
class CracCheckpointerTest : public CheckpointerTest {
 protected:
  CracCheckpointerTest() {
    MakeStarter(/*allow_crac=*/true);
    MakeCheckpointer();
    images_.image.labels[kCracEngineLabel] = "criuengine";
    request_.version.mutable_spec()->set_engine("crac");
    request_.version.mutable_spec()->mutable_freeze()->set_accept_uncured(true);
    fs::create_directories(dump_);
    fs::create_directories(slot_->iofs_dir());
    dialer_.answer = [this](const FunctionRequest& request) -> absl::StatusOr<FunctionReply> {
      asked_.push_back(request.method + " " + request.target);
      if (request.target == "/thaw/probe") return FunctionReply{200, {}, "{\"checkpointFailure\":{\"message\":\"open socket\"}}"};
      if (prepare_status_ == 200) at_checkpoint_();
      return FunctionReply{prepare_status_, {}, "{\"message\":\"the pool is busy\"}"};
    };
  }
  void MakeCheckpointer() {
    criu_ = std::make_unique<CriuCheckpointer>(CriuCheckpointer::Options(), CriuCheckpointer::Deps{store_, slots_, images_, *restorer_,
                                                                                                   clock_, *paths_, NullLogger()});
    crac_ = std::make_unique<CracCheckpointer>(
        CracCheckpointer::Options(),
        CracCheckpointer::Deps{*crac_engine_, images_, *restorer_, *criu_, clock_, *paths_, &diagnoses_});
    checkpointer_of_engine_ = std::make_unique<EngineCheckpointer>(*criu_, *crac_);
  }
  // The JVM writes itself and ends.
  void WriteAndEnd() {
    fs::create_directories(dump_ + "/images");
    std::ofstream(dump_ + "/images/core.img") << "core";
    InitEvent exit;
    exit.kind = InitEvent::Kind::kExit;
    exit.signal = "SIGKILL";
    slots_.control(0)->Tell(exit);
  }

  const std::string dump_ = root_ + "/versions/v1/cracdata/dump-i1";
  std::function<void()> at_checkpoint_ = [this] { WriteAndEnd(); };
  std::unique_ptr<CriuCheckpointer> criu_;
  std::unique_ptr<CracCheckpointer> crac_;
  std::unique_ptr<EngineCheckpointer> checkpointer_of_engine_;
};

TEST_F(CracCheckpointerTest, JvmThatHasWrittenItselfIsPublishedAndItsInstanceIsGone) {
  const FrozenInstance frozen = checkpointer_of_engine_->Freeze(request_);
  ASSERT_TRUE(frozen.status.ok()) << frozen.status;
  EXPECT_EQ(frozen.instance, InstanceAfter::kLost);
  EXPECT_EQ(slots_.control(0)->Orders(), std::vector<std::string>{"save /cracdata/dump-i1"});
  const auto published = checkpointer_of_engine_->Publish(request_, frozen, nullptr);
  ASSERT_TRUE(published.ok()) << published.status();
  EXPECT_EQ(published->snapshot.engine(), "crac criuengine");
  ASSERT_EQ(published->snapshot.uncured_size(), 1) << "nobody asks its shim";
  EXPECT_TRUE(absl::StartsWith(published->snapshot.uncured(0), "engine crac: "));
  EXPECT_EQ(slots_.control(1)->Orders(), (std::vector<std::string>{"start", "reset"})) << "the canary is a second JVM";
}

TEST_F(CracCheckpointerTest, JvmThatGoesOnSaysWhyAndServes) {
  at_checkpoint_ = [this] { std::ofstream(slot_->iofs_dir() + "/lsnr.sock") << ""; };
  CracCheckpointer checkpointer(
      CracCheckpointer::Options(), CracCheckpointer::Deps{*crac_engine_, images_, *restorer_, *criu_, clock_, *paths_, &diagnoses_});
  const FrozenInstance frozen = checkpointer.Freeze(request_);
  EXPECT_EQ(frozen.status.code(), absl::StatusCode::kFailedPrecondition) << frozen.status;
  EXPECT_EQ(ReasonOf(frozen.status), reason::kCheckpointRefused);
  EXPECT_TRUE(absl::StrContains(frozen.status.message(), "open socket")) << frozen.status;
  EXPECT_EQ(frozen.instance, InstanceAfter::kServing);
  const auto kept = diagnoses_.Get("v1");
  ASSERT_EQ(kept.size(), 1u);
  ASSERT_EQ(kept[0].findings_size(), 1) << "the reason is on the instance";
  EXPECT_TRUE(absl::StrContains(kept[0].findings(0).what(), "open socket")) << kept[0].ShortDebugString();
}

TEST_F(CracCheckpointerTest, JvmWhoseRestoresMayShareRandomNumbersWritesItselfOnlyWhereThatIsAccepted) {
  request_.version.mutable_spec()->mutable_freeze()->set_accept_uncured(false);
  const FrozenInstance frozen = checkpointer_of_engine_->Freeze(request_);
  EXPECT_EQ(ReasonOf(frozen.status), reason::kCheckpointRefused);
  EXPECT_TRUE(absl::StrContains(frozen.status.message(), "accept-uncured")) << frozen.status;
  EXPECT_EQ(frozen.instance, InstanceAfter::kServing);
  EXPECT_TRUE(asked_.empty()) << "the JVM never heard of it";
}

TEST_F(CracCheckpointerTest, RefusalNamesWhoRefused) {
  prepare_status_ = 409;
  const FrozenInstance frozen = checkpointer_of_engine_->Freeze(request_);
  EXPECT_TRUE(absl::StrContains(frozen.status.message(), "the pool is busy")) << frozen.status;
  EXPECT_EQ(frozen.instance, InstanceAfter::kServing);

  MakeStarter(/*allow_crac=*/false);
  MakeCheckpointer();
  const FrozenInstance forbidden = checkpointer_of_engine_->Freeze(request_);
  EXPECT_EQ(forbidden.status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(absl::StrContains(forbidden.status.message(), "--allow-crac-engine")) << forbidden.status;
  EXPECT_EQ(forbidden.instance, InstanceAfter::kServing);
}

TEST_F(CracCheckpointerTest, ASealedJvmIsNotAskedToWriteItself) {
  request_.sealed = true;
  const FrozenInstance frozen = checkpointer_of_engine_->Freeze(request_);
  EXPECT_EQ(ReasonOf(frozen.status), reason::kCheckpointRefused);
  EXPECT_EQ(frozen.instance, InstanceAfter::kServing);
  EXPECT_TRUE(asked_.empty());
}

TEST_F(CracCheckpointerTest, JvmThatEndsWithoutImagesIsAnError) {
  at_checkpoint_ = [this] {
    InitEvent exit;
    exit.kind = InitEvent::Kind::kExit;
    slots_.control(0)->Tell(exit);
  };
  const FrozenInstance frozen = checkpointer_of_engine_->Freeze(request_);
  EXPECT_EQ(frozen.status.code(), absl::StatusCode::kInternal) << frozen.status;
  EXPECT_EQ(frozen.instance, InstanceAfter::kLost);
}

}  // namespace
}  // namespace thaw::agent
