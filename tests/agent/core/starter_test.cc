#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "agent/checkpoint/crac_checkpointer.h"
#include "agent/checkpoint/criu_checkpointer.h"
#include "agent/engine/crac_engine.h"
#include "agent/instance/diagnosis.h"
#include "agent/cpu/cpu_limits.h"
#include "agent/cpu/node_cpu.h"
#include "agent/start/thaw_starter.h"
#include "common/ids/ids.h"
#include "common/log/log.h"
#include "common/rpc/client.h"
#include "common/status/reasons.h"
#include "prometheus/registry.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_dialer.h"
#include "tests/fakes/fake_images.h"
#include "tests/fakes/fake_slots.h"
#include "tests/fakes/fake_snapshot_store.h"

namespace thaw::agent {
namespace {

namespace fs = std::filesystem;
using testing::FakeClock;
using testing::FakeDialer;
using testing::FakeImages;
using testing::FakeSlotFactory;
using testing::FakeSlotInit;
using testing::FakeSnapshotStore;

// Puts the snapshot into the store as a fetch from a holder would.
class FakeSource final : public SnapshotSource {
 public:
  FakeSource(FakeSnapshotStore& store, const v1::Manifest& manifest) : store_(store), manifest_(manifest) {}
  absl::Status Fetch(const VersionState&, absl::Time) override {
    ++fetches;
    if (!result.ok()) return result;
    if (put_chunks) put_chunks();
    return store_.Adopt(manifest_);
  }
  void ReportHeld(const thaw::common::v1::SnapshotInfo& snapshot) override { held.push_back(snapshot.id()); }
  void ReportGone(const std::string& snapshot_id, const std::string&) override { gone.push_back(snapshot_id); }

  std::function<void()> put_chunks;
  absl::Status result;
  int fetches = 0;
  std::vector<std::string> held, gone;

 private:
  FakeSnapshotStore& store_;
  const v1::Manifest manifest_;
};

class StarterTest : public ::testing::Test {
 protected:
  StarterTest() : origin_(FakeSnapshotStore::Trees::kOnDisk), store_(FakeSnapshotStore::Trees::kOnDisk) {
    char pattern[] = "/tmp/thaw-starter-XXXXXX";
    root_ = mkdtemp(pattern);
    fs::create_directories(root_ + "/versions/v1/cracdata");
    fs::create_directories(root_ + "/dump/images");
    std::ofstream(root_ + "/dump/images/pages-1.img") << "pages";
    fs::create_directories(root_ + "/dump/files");
    std::ofstream(root_ + "/dump/files/unique") << "";
    paths_ = std::make_unique<Paths>(root_);
    v1::Manifest draft;
    draft.set_format(1);
    draft.mutable_info()->set_version_id("v1");
    draft.mutable_info()->set_invocations(5);
    draft.set_resume_marker("resume-7");
    draft.set_uid(1000);
    // Another node's store, from which a fetch takes it.
    manifest_ = *origin_.Publish(root_ + "/dump", draft);
    snapshot_id_ = manifest_.info().id();

    auto& spec = *version_.mutable_spec();
    spec.set_version_id("v1");
    spec.set_function_name("hello");
    spec.set_function_id("fn");
    spec.set_memory_mib(128);
    (*spec.mutable_config())["GREETING"] = "config";
    source_ = std::make_unique<FakeSource>(store_, manifest_);
    source_->put_chunks = [this] {
      for (const auto& entry : manifest_.entries()) {
        for (const auto& chunk : entry.chunks()) {
          ASSERT_TRUE(store_.PutChunk(chunk.sha256(), *origin_.ReadChunk(chunk.sha256())).ok());
        }
      }
    };
    MakeStarter(/*allow_crac=*/false);
  }
  ~StarterTest() override {
    fs::remove_all(root_);
    fs::remove_all(slots_root_);
  }

  void MakeStarter(bool allow_crac) {
    crac_engine_ = std::make_unique<CracEngine>(allow_crac, *paths_);
    engines_ = std::make_unique<Engines>(criu_engine_, *crac_engine_);
    restorer_ = std::make_unique<Restorer>(dialer_, clock_, *engines_);
    starter_ = std::make_unique<ThawStarter>(
        ThawStarter::Options(), ThawStarter::Deps{slots_, store_, *source_, images_, *restorer_, *engines_, metrics_,
                                                  clock_, *paths_, NullLogger()});
  }

  void Restart(const ThawStarter::Options& options) {
    starter_ = std::make_unique<ThawStarter>(
        options, ThawStarter::Deps{slots_, store_, *source_, images_, *restorer_, *engines_, metrics_, clock_, *paths_,
                                   NullLogger()});
  }

  void HoldSnapshot() {
    source_->put_chunks();
    ASSERT_TRUE(store_.Adopt(manifest_).ok());
    *version_.mutable_snapshot() = manifest_.info();
  }

  absl::StatusOr<StartedInstance> Start(std::unique_ptr<Slot> slot = nullptr) {
    StartRequest request;
    request.version = version_;
    request.instance_id = "i1";
    request.slot = std::move(slot);
    request.awaits_freeze = awaits_freeze_;
    request.call_deadline = clock_.Now() + absl::Seconds(30);
    request.replaced = replaced_;
    return starter_->Start(std::move(request));
  }

  StartOrder LastStart() {
    const auto control = slots_.control(static_cast<std::size_t>(slots_.created()) - 1);
    absl::MutexLock lock(&control->mu);
    return control->last_start;
  }
  std::string LaidOut() const { return absl::StrCat(root_, "/versions/v1/cracdata/", snapshot_id_); }

  std::string root_;
  std::unique_ptr<Paths> paths_;
  FakeClock clock_;
  const std::string slots_root_ = absl::StrCat(::testing::TempDir(), "starter-slots-", NewHexId());
  FakeSlotFactory slots_{slots_root_};
  FakeSnapshotStore origin_, store_;
  FakeDialer dialer_;
  CriuEngine criu_engine_;
  std::unique_ptr<CracEngine> crac_engine_;
  std::unique_ptr<Engines> engines_;
  std::unique_ptr<Restorer> restorer_;
  FakeImages images_;
  prometheus::Registry registry_;
  AgentMetrics metrics_{registry_};
  v1::Manifest manifest_;
  std::string snapshot_id_;
  VersionState version_;
  bool awaits_freeze_ = false;
  decltype(StartRequest::replaced) replaced_;
  std::unique_ptr<FakeSource> source_;
  std::unique_ptr<ThawStarter> starter_;
};

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

// One secret for any time, one for after the restore, and a restore-time key.
void AddGiven(VersionState& version) {
  auto& freeze = *version.mutable_spec()->mutable_freeze();
  freeze.add_restore_time_config("URL");
  freeze.add_secrets()->set_name("early");
  auto& late = *freeze.add_secrets();
  late.set_name("late");
  late.set_after_restore_only(true);
  (*version.mutable_restore_time_config())["URL"] = "now";
  (*version.mutable_secrets())["early"] = "e";
  (*version.mutable_secrets())["late"] = "l";
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
}

// As snapshots were before the cures.
TEST_F(StarterTest, ASnapshotWithoutWordOfItsRandomNumbersIsGivenUpAndNotFetchedAgain) {
  fs::remove(root_ + "/dump/files/unique");
  v1::Manifest draft;
  draft.set_format(1);
  draft.mutable_info()->set_version_id("v1");
  const auto old = origin_.Publish(root_ + "/dump", draft);
  ASSERT_TRUE(old.ok()) << old.status();
  manifest_ = *old;
  source_ = std::make_unique<FakeSource>(store_, manifest_);
  source_->put_chunks = [this] {
    for (const auto& entry : manifest_.entries()) {
      for (const auto& chunk : entry.chunks()) {
        ASSERT_TRUE(store_.PutChunk(chunk.sha256(), *origin_.ReadChunk(chunk.sha256())).ok());
      }
    }
  };
  MakeStarter(/*allow_crac=*/false);
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
}

TEST_F(StarterTest, ASnapshotWithoutWordOfItsRandomNumbersIsRestoredWhereThatIsAccepted) {
  fs::remove(root_ + "/dump/files/unique");
  v1::Manifest draft;
  draft.set_format(1);
  draft.mutable_info()->set_version_id("v1");
  const auto old = store_.Publish(root_ + "/dump", draft);
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
