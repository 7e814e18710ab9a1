#include "agent/start/thaw_starter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "agent/cpu/cpu_limits.h"
#include "agent/cpu/node_cpu.h"
#include "agent/engine/crac_engine.h"
#include "common/status/reasons.h"
#include "tests/agent/core/starter_fixture.h"

namespace thaw::agent {
namespace {

TEST_F(StarterTest, WithoutASnapshotItStartsTheImage) {
  const auto started = Start();
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_EQ(started->record.kind, StartKind::kCold);
  EXPECT_EQ(started->record.fallback_reason, "");
  absl::MutexLock lock(&slots_.control(0)->mu);
  const StartOrder& order = slots_.control(0)->last_start;
  EXPECT_EQ(order.argv, (std::vector<std::string>{"java", "-cp", "x", "com.example.fn.HelloFunction::handleRequest"}));
  EXPECT_EQ(order.env.at("FN_LISTENER"), "unix:/tmp/iofs/lsnr.sock");
  EXPECT_EQ(order.env.at("FN_FORMAT"), "http-stream");
  EXPECT_EQ(order.env.at("GREETING"), "config") << "config wins over the image";
  EXPECT_EQ(order.env.at("JAVA_HOME"), "/j");
  EXPECT_EQ(order.working_dir, "/function");
  EXPECT_EQ(order.uid, 1000u);
}

TEST_F(StarterTest, ARestoreIsGivenConfigOfNowAndAllSecrets) {
  AddGiven(version_);
  HoldSnapshot();
  const auto started = Start();
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_TRUE(started->sealed);
  absl::MutexLock lock(&slots_.control(0)->mu);
  const Given& given = slots_.control(0)->last_restore.given;
  EXPECT_EQ(given.config.at("URL"), "now");
  EXPECT_EQ(given.secrets.at("early"), "e");
  EXPECT_EQ(given.secrets.at("late"), "l");
  EXPECT_TRUE(given.sealed);
}

TEST_F(StarterTest, AColdStartThatAwaitsItsFreezeHasTheConfigInItsEnvironmentAndNoLateSecret) {
  AddGiven(version_);
  awaits_freeze_ = true;
  const auto started = Start();
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_FALSE(started->sealed);
  absl::MutexLock lock(&slots_.control(0)->mu);
  const StartOrder& order = slots_.control(0)->last_start;
  EXPECT_EQ(order.env.at("URL"), "now");
  EXPECT_EQ(order.given.config.at("URL"), "now");
  EXPECT_EQ(order.given.secrets, (std::map<std::string, std::string>{{"early", "e"}}));
  EXPECT_FALSE(order.given.sealed);
  for (const auto& [key, value] : order.env) EXPECT_NE(value, "e") << "no secret belongs into the environment";
}

TEST_F(StarterTest, AColdStartThatNoFreezeFollowsHasAllSecrets) {
  AddGiven(version_);
  const auto started = Start();
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_TRUE(started->sealed);
  absl::MutexLock lock(&slots_.control(0)->mu);
  EXPECT_EQ(slots_.control(0)->last_start.given.secrets.at("late"), "l");
}

TEST_F(StarterTest, AColdStartInPlaceOfARestoreHasAllSecrets) {
  AddGiven(version_);
  awaits_freeze_ = true;
  *version_.mutable_snapshot() = manifest_.info();
  source_->result = absl::NotFoundError("no holder");
  const auto started = Start();
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_EQ(started->record.kind, StartKind::kCold);
  EXPECT_TRUE(started->sealed);
}

TEST_F(StarterTest, WithoutASecretsValueNothingIsStartedAndTheSlotIsNotKept) {
  AddGiven(version_);
  version_.mutable_secrets()->erase("early");
  const auto started = Start(*slots_.Create(version_, absl::InfiniteFuture()));
  EXPECT_EQ(ReasonOf(started.status()), reason::kSecretMissing);
  EXPECT_EQ(slots_.alive(), 0);
  EXPECT_TRUE(slots_.control(0)->Orders().empty());
}

TEST_F(StarterTest, SnapshotHeldHereIsRestored) {
  HoldSnapshot();
  const auto started = Start(*slots_.Create(version_, absl::InfiniteFuture()));
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_EQ(started->record.kind, StartKind::kRestored);
  EXPECT_EQ(started->answered_before, 5u);
  EXPECT_EQ(source_->fetches, 0);
  absl::MutexLock lock(&slots_.control(0)->mu);
  EXPECT_EQ(slots_.control(0)->last_restore.dir, "/cracdata/" + snapshot_id_);
  EXPECT_EQ(slots_.control(0)->last_restore.resume_marker, "resume-7");
}

TEST_F(StarterTest, SnapshotThatWasReplacedMeanwhileGivesWayToTheNewOne) {
  HoldSnapshot();
  const VersionState newest = version_;
  version_.mutable_snapshot()->set_id("removed");
  source_->result = absl::UnavailableError("no other node holds it");
  std::vector<std::string> asked;
  replaced_ = [&](const std::string& snapshot_id) -> std::optional<VersionState> {
    asked.push_back(snapshot_id);
    return newest;
  };
  const auto started = Start();
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_EQ(asked, std::vector<std::string>{"removed"});
  EXPECT_EQ(started->record.kind, StartKind::kRestored);
  EXPECT_EQ(started->record.fallback_reason, "");
  {
    absl::MutexLock lock(&slots_.control(0)->mu);
    EXPECT_EQ(slots_.control(0)->last_restore.dir, "/cracdata/" + snapshot_id_);
  }
  replaced_ = [&](const std::string&) { return std::nullopt; };
  const auto cold = Start();
  ASSERT_TRUE(cold.ok()) << cold.status();
  EXPECT_EQ(cold->record.kind, StartKind::kCold);
  EXPECT_NE(cold->record.fallback_reason.find("no other node holds it"), std::string::npos);
}

TEST_F(StarterTest, SnapshotOfAnotherNodeIsFetchedAndReported) {
  *version_.mutable_snapshot() = manifest_.info();
  const auto started = Start();
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_EQ(started->record.kind, StartKind::kRestoredRemote);
  EXPECT_EQ(source_->fetches, 1);
  EXPECT_EQ(source_->held, std::vector<std::string>{snapshot_id_});
}

TEST_F(StarterTest, ASnapshotThatReliesOnMoreThanThisCpuHasIsNeverRestored) {
  HoldSnapshot();
  for (const auto& feature : FeaturesOfLevel(CpuLevel::kV3)) version_.mutable_snapshot()->add_cpu_features(feature);
  HostCpu host{"x86_64", "", FeaturesOfLevel(CpuLevel::kV4)};
  ThawStarter::Options options;
  options.node_id = "old";
  options.cpu = *MakeNodeCpu(host, "x86-64-v2");
  Restart(options);
  const auto started = Start();
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_EQ(started->record.kind, StartKind::kCold);
  EXPECT_NE(started->record.fallback_reason.find("node old lacks: abm, avx"), std::string::npos)
      << started->record.fallback_reason;
  EXPECT_EQ(metrics_.unfit_snapshots->Value(), 1);
  EXPECT_EQ(ThawStarter::SnapshotFits(version_, options.cpu, "old").code(), absl::StatusCode::kFailedPrecondition);
  absl::MutexLock lock(&slots_.control(0)->mu);
  EXPECT_NE(slots_.control(0)->last_start.env.at("GLIBC_TUNABLES").find("-AVX2"), std::string::npos)
      << "a node that says it is old holds its functions to that";
}

TEST_F(StarterTest, WhyTheSchedulerGaveNoSnapshotIsTheColdStartsReason) {
  version_.set_unfit_reason("snapshot s relies on CPU features that node a lacks: avx2");
  const auto started = Start();
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_EQ(started->record.kind, StartKind::kCold);
  EXPECT_EQ(started->record.fallback_reason, version_.unfit_reason());
  version_.mutable_spec()->mutable_checkpoint()->set_mode(thaw::common::v1::CheckpointPolicy::MODE_NEVER);
  EXPECT_EQ(Start()->record.fallback_reason, "") << "it would have been cold anyway";
}

TEST_F(StarterTest, ABaselineHoldsTheColdStartToIt) {
  version_.mutable_spec()->mutable_freeze()->set_cpu_baseline("x86-64-v2");
  (*version_.mutable_spec()->mutable_config())["JAVA_TOOL_OPTIONS"] = "-Xint";
  ThawStarter::Options options;
  options.cpu = *MakeNodeCpu(HostCpu{"x86_64", "", FeaturesOfLevel(CpuLevel::kV4)}, "");
  Restart(options);
  ASSERT_TRUE(Start().ok());
  absl::MutexLock lock(&slots_.control(0)->mu);
  const auto& env = slots_.control(0)->last_start.env;
  EXPECT_EQ(env.at("JAVA_TOOL_OPTIONS"), "-Xint " + SettingsOf(CpuLevel::kV2).hotspot);
  EXPECT_EQ(env.at("GODEBUG"), SettingsOf(CpuLevel::kV2).go);
  EXPECT_EQ(env.count("OPENSSL_ia32cap"), 1u);
}

TEST_F(StarterTest, FlippedByteInTheLaidOutFilesIsFoundBeforeTheRestore) {
  HoldSnapshot();
  ASSERT_TRUE(store_.Materialize(snapshot_id_, LaidOut()).ok());
  store_.DamageLaidOut(LaidOut());
  const auto started = Start();
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_EQ(started->record.kind, StartKind::kRestored) << "laid out again from sound chunks";
  EXPECT_TRUE(store_.Verify(snapshot_id_, LaidOut()).ok());
}

TEST_F(StarterTest, DamagedChunkIsQuarantinedReportedAndFetchedAgain) {
  HoldSnapshot();
  for (const auto& entry : manifest_.entries()) {
    if (entry.chunks_size() > 0) store_.DamageChunk(entry.chunks(0).sha256());
  }
  const auto started = Start();
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_FALSE(store_.quarantined().empty());
  ASSERT_FALSE(source_->gone.empty());
  EXPECT_EQ(source_->gone[0], snapshot_id_);
  EXPECT_EQ(source_->fetches, 1);
  EXPECT_EQ(started->record.kind, StartKind::kRestoredRemote);
}

TEST_F(StarterTest, DamagedAndNobodyElseHasItStartsColdAndSaysWhy) {
  HoldSnapshot();
  for (const auto& entry : manifest_.entries()) {
    if (entry.chunks_size() > 0) store_.DamageChunk(entry.chunks(0).sha256());
  }
  source_->result = absl::NotFoundError("no holder answered");
  const auto started = Start();
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_EQ(started->record.kind, StartKind::kCold);
  EXPECT_NE(started->record.fallback_reason.find("no holder answered"), std::string::npos);
  for (const std::string& order : slots_.control(0)->Orders()) EXPECT_NE(order.substr(0, 7), "restore");
}

TEST_F(StarterTest, CriuThatFailsOrHangsFallsBackToAColdStartInTheSameSlot) {
  HoldSnapshot();
  auto slot = *slots_.Create(version_, absl::InfiniteFuture());
  {
    absl::MutexLock lock(&slots_.control(0)->mu);
    slots_.control(0)->restore_result = absl::DeadlineExceededError("criu hangs");
  }
  const auto started = Start(std::move(slot));
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_EQ(started->record.kind, StartKind::kCold);
  EXPECT_NE(started->record.fallback_reason.find("criu hangs"), std::string::npos);
  EXPECT_EQ(slots_.created(), 1);
  absl::MutexLock lock(&slots_.control(0)->mu);
  EXPECT_LE(slots_.control(0)->last_restore.time_limit, absl::Seconds(10)) << "a third of the call's time is left for it";
  EXPECT_EQ(slots_.control(0)->orders.back(), "start");
}

TEST_F(StarterTest, SnapshotThatFailsThreeTimesIsGivenUp) {
  HoldSnapshot();
  for (int i = 0; i < ThawStarter::kMaxRestoreFailures; ++i) {
    EXPECT_TRUE(source_->gone.empty());
    auto slot = *slots_.Create(version_, absl::InfiniteFuture());
    auto control = slots_.control(static_cast<std::size_t>(slots_.created() - 1));
    {
      absl::MutexLock lock(&control->mu);
      control->restore_result = absl::FailedPreconditionError("criu refuses");
    }
    const auto started = Start(std::move(slot));
    ASSERT_TRUE(started.ok());
    EXPECT_EQ(started->record.kind, StartKind::kCold);
  }
  EXPECT_EQ(source_->gone, std::vector<std::string>{snapshot_id_});
  EXPECT_FALSE(fs::exists(LaidOut())) << "a memory image that nobody will restore";
}

TEST_F(StarterTest, ASnapshotWhoseManifestIsDamagedLeavesNoDirectory) {
  HoldSnapshot();
  ASSERT_TRUE(store_.Materialize(snapshot_id_, LaidOut()).ok());
  store_.DamageManifest(snapshot_id_);
  source_->result = absl::NotFoundError("no holder answered");
  const auto started = Start();
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_EQ(started->record.kind, StartKind::kCold);
  EXPECT_FALSE(fs::exists(LaidOut()));
}

TEST_F(StarterTest, ASnapshotRemovedWhileItIsLaidOutLeavesNoDirectory) {
  HoldSnapshot();
  source_->result = absl::NotFoundError("no holder answered");
  store_.OnMaterialized([this] { ASSERT_TRUE(store_.Remove(snapshot_id_).ok()); });
  const auto started = Start();
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_EQ(started->record.kind, StartKind::kCold);
  EXPECT_FALSE(fs::exists(LaidOut()));
}

TEST_F(StarterTest, ASnapshotIsInUseWhileItIsRestoredAndNoLonger) {
  HoldSnapshot();
  int in_use = 0;
  store_.OnMaterialized([&] { in_use = store_.in_use(snapshot_id_); });
  const auto started = Start();
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_EQ(in_use, 1) << "or it would be evicted from under CRIU";
  EXPECT_EQ(store_.in_use(snapshot_id_), 0);
}

TEST_F(StarterTest, ASnapshotThatDoesNotFitIntoTheStoreStartsColdAndSaysWhy) {
  *version_.mutable_snapshot() = manifest_.info();
  source_->result = absl::ResourceExhaustedError("--snapshot-store-bytes allows 1000");
  const auto started = Start();
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_EQ(started->record.kind, StartKind::kCold);
  EXPECT_TRUE(absl::StrContains(started->record.fallback_reason, "--snapshot-store-bytes allows 1000"));
}

TEST_F(StarterTest, ASnapshotWithoutWordOfItsRandomNumbersIsGivenUpAndNotFetchedAgain) {
  const auto old = PublishOldSnapshot(origin_);
  ASSERT_TRUE(old.ok()) << old.status();
  manifest_ = *old;
  OfferElsewhere();
  *version_.mutable_snapshot() = manifest_.info();
  const std::string id = manifest_.info().id();
  for (int i = 0; i < 2; ++i) {
    const auto started = Start();
    ASSERT_TRUE(started.ok()) << started.status();
    EXPECT_EQ(started->record.kind, StartKind::kCold);
    EXPECT_TRUE(absl::StrContains(started->record.fallback_reason, id)) << started->record.fallback_reason;
    EXPECT_TRUE(absl::StrContains(started->record.fallback_reason, "before Thaw cured random numbers"));
    EXPECT_EQ(slots_.control(static_cast<std::size_t>(slots_.created()) - 1)->Orders(), std::vector<std::string>{"start"});
  }
  EXPECT_EQ(source_->fetches, 1) << "another holder's copy is no better";
  EXPECT_EQ(source_->gone, std::vector<std::string>{id}) << "so that the cluster makes another";
  ASSERT_EQ(store_.quarantined().size(), 1u);
  EXPECT_EQ(store_.quarantined()[0].first, id);
  EXPECT_FALSE(fs::exists(absl::StrCat(root_, "/versions/v1/cracdata/", id)));
}

TEST_F(StarterTest, ASnapshotWithoutWordOfItsRandomNumbersIsRestoredWhereThatIsAccepted) {
  const auto old = PublishOldSnapshot(store_);
  ASSERT_TRUE(old.ok()) << old.status();
  *version_.mutable_snapshot() = old->info();
  version_.mutable_spec()->mutable_freeze()->set_accept_uncured(true);
  const auto started = Start();
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_EQ(started->record.kind, StartKind::kRestored) << started->record.fallback_reason;
}

TEST_F(StarterTest, FunctionThatNeverListensIsNamedAndLeavesNothing) {
  dialer_.listen = {WithReason(absl::DeadlineExceededError("no socket"), reason::kFunctionNeverListened)};
  const auto started = Start();
  EXPECT_EQ(ReasonOf(started.status()), reason::kFunctionNeverListened);
  EXPECT_NE(started.status().message().find("hello"), absl::string_view::npos);
  EXPECT_EQ(slots_.alive(), 0);
}

TEST_F(StarterTest, CracEngineStartsTheJvmWithItsOptionsAndPrivilegesWhereItIsAllowed) {
  MakeStarter(/*allow_crac=*/true);
  version_.mutable_spec()->set_engine("crac");
  images_.image.labels[kCracEngineLabel] = "criuengine";
  ASSERT_TRUE(Start().ok());
  const StartOrder order = LastStart();
  EXPECT_EQ(order.argv, (std::vector<std::string>{"java", "-XX:CRaCEngine=criuengine",
                                                  "-XX:CRaCCheckpointTo=/cracdata/dump-i1/images", "-cp", "x",
                                                  "com.example.fn.HelloFunction::handleRequest"}));
  EXPECT_EQ(order.env.at("THAW_ENGINE"), "crac");
  EXPECT_TRUE(order.privileged);
  EXPECT_EQ(order.uid, 0u);
  EXPECT_TRUE(fs::exists(root_ + "/versions/v1/cracdata/dump-i1"));
}

TEST_F(StarterTest, CracEngineThatTheOperatorDoesNotAllowStartsAsAnyFunctionDoes) {
  version_.mutable_spec()->set_engine("crac");
  images_.image.labels[kCracEngineLabel] = "criuengine";
  ASSERT_TRUE(Start().ok());
  const StartOrder order = LastStart();
  EXPECT_EQ(order.argv, (std::vector<std::string>{"java", "-cp", "x", "com.example.fn.HelloFunction::handleRequest"}));
  EXPECT_FALSE(order.env.contains("THAW_ENGINE"));
  EXPECT_FALSE(order.privileged);
  EXPECT_EQ(order.uid, 1000u);
}

TEST_F(StarterTest, CracEngineNamesWhatTheImageLacks) {
  const CracEngine engine(true, *paths_);
  EXPECT_TRUE(absl::StrContains(engine.Usable(images_.image).message(), "label io.thaw.crac-engine")) << engine.Usable(images_.image);
  images_.image.labels[kCracEngineLabel] = "criuengine";
  EXPECT_TRUE(engine.Usable(images_.image).ok()) << engine.Usable(images_.image);
  images_.image.entrypoint = {"/bin/sh", "-c"};
  EXPECT_TRUE(absl::StrContains(engine.Usable(images_.image).message(), "begins with java")) << engine.Usable(images_.image);
}

TEST_F(StarterTest, RestoreCommandIsNotWrittenThroughALinkThatTheJvmHasLeft) {
  images_.image.labels[kCracEngineLabel] = "criuengine";
  const std::string victim = root_ + "/victim";
  std::ofstream(victim) << "untouched";
  fs::create_symlink(victim, root_ + "/dump/crac.json");
  ASSERT_TRUE(CracEngine::WriteRestoreCommand(root_ + "/dump", images_.image).ok());
  std::string content;
  std::getline(std::ifstream(victim), content);
  EXPECT_EQ(content, "untouched");
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(root_ + "/dump/crac.json")));
}

TEST_F(StarterTest, SnapshotOfEngineCracIsRestoredByASecondJvm) {
  MakeStarter(/*allow_crac=*/true);
  images_.image.labels[kCracEngineLabel] = "criuengine";
  ASSERT_TRUE(CracEngine::WriteRestoreCommand(root_ + "/dump", images_.image).ok());
  v1::Manifest draft;
  draft.set_format(1);
  draft.mutable_info()->set_version_id("v1");
  draft.mutable_info()->set_engine("crac criuengine");
  const auto manifest = store_.Publish(root_ + "/dump", draft);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  *version_.mutable_snapshot() = manifest->info();
  version_.mutable_spec()->set_engine("crac");
  const auto started = Start();
  ASSERT_TRUE(started.ok()) << started.status();
  EXPECT_EQ(started->record.kind, StartKind::kRestored) << started->record.fallback_reason;
  const StartOrder order = LastStart();
  EXPECT_EQ(order.argv, (std::vector<std::string>{"java", "-XX:CRaCEngine=criuengine",
                                                  absl::StrCat("-XX:CRaCRestoreFrom=/cracdata/", manifest->info().id(), "/images")}));
  EXPECT_EQ(order.snapshot_dir, absl::StrCat("/cracdata/", manifest->info().id()));
  EXPECT_EQ(order.env.at("JAVA_HOME"), "/j");
  EXPECT_TRUE(order.privileged);

  // On a node that does not allow it: cold, and the reason is said.
  MakeStarter(/*allow_crac=*/false);
  const auto refused = Start();
  ASSERT_TRUE(refused.ok());
  EXPECT_EQ(refused->record.kind, StartKind::kCold);
  EXPECT_TRUE(absl::StrContains(refused->record.fallback_reason, "--allow-crac-engine")) << refused->record.fallback_reason;
}

TEST_F(StarterTest, MissingImageIsNoColdStart) {
  slots_.FailCreates(WithReason(absl::FailedPreconditionError("nobody has it"), reason::kImageUnavailable));
  EXPECT_EQ(ReasonOf(Start().status()), reason::kImageUnavailable);
}

// ---------------------------------------------------------------- checkpoints

TEST_F(StarterTest, ARestoreDoesNotWaitForAnothersVerification) {
  HoldSnapshot();
  ASSERT_TRUE(store_.Materialize(snapshot_id_, LaidOut()).ok());
  absl::Notification verifying, go_on;
  store_.BeforeNext(FakeSnapshotStore::Op::kVerify, [&] {
    verifying.Notify();
    go_on.WaitForNotification();
  });
  std::thread slow([this] { EXPECT_EQ(Start()->record.kind, StartKind::kRestored); });
  verifying.WaitForNotification();
  // Of another version, and of the same.
  const VersionState first = version_;
  fs::create_directories(root_ + "/versions/v2/cracdata");
  std::ofstream(root_ + "/dump/images/pages-1.img") << "other pages";
  v1::Manifest draft;
  draft.set_format(1);
  draft.mutable_info()->set_version_id("v2");
  const auto other = store_.Publish(root_ + "/dump", draft);
  ASSERT_TRUE(other.ok()) << other.status();
  version_.mutable_spec()->set_version_id("v2");
  *version_.mutable_snapshot() = other->info();
  EXPECT_EQ(Start()->record.kind, StartKind::kRestored);
  version_ = first;
  EXPECT_EQ(Start()->record.kind, StartKind::kRestored);
  go_on.Notify();
  slow.join();
}

TEST_F(StarterTest, ALayoutThatTakesTooLongForASecondCallIsNotWaitedForBeyondItsDeadline) {
  HoldSnapshot();
  absl::Notification laying_out, go_on;
  store_.BeforeNext(FakeSnapshotStore::Op::kMaterialize, [&] {
    laying_out.Notify();
    go_on.WaitForNotification();
  });
  std::thread slow([this] { EXPECT_EQ(Start()->record.kind, StartKind::kRestored); });
  laying_out.WaitForNotification();
  StartRequest request;
  request.version = version_;
  request.instance_id = "i2";
  request.slot = *slots_.Create(version_, absl::InfiniteFuture());
  request.call_deadline = clock_.Now();
  const auto second = starter_->Start(std::move(request));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->record.kind, StartKind::kCold);
  EXPECT_THAT(second->record.fallback_reason, ::testing::HasSubstr("being laid out"));
  go_on.Notify();
  slow.join();
}

}  // namespace
}  // namespace thaw::agent
