#ifndef THAW_TESTS_AGENT_CORE_STARTER_FIXTURE_H_
#define THAW_TESTS_AGENT_CORE_STARTER_FIXTURE_H_

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "agent/engine/crac_engine.h"
#include "agent/start/thaw_starter.h"
#include "common/ids/ids.h"
#include "common/log/log.h"
#include "prometheus/registry.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_dialer.h"
#include "tests/fakes/fake_images.h"
#include "tests/fakes/fake_slots.h"
#include "tests/fakes/fake_snapshot_store.h"

namespace thaw::agent {

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
    OfferElsewhere();
  }
  ~StarterTest() override {
    fs::remove_all(root_);
    fs::remove_all(slots_root_);
  }

  // `manifest_`, which origin_ holds, is what a fetch from another node brings.
  void OfferElsewhere() {
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

  // As snapshots were before the cures: without a word of its random numbers.
  absl::StatusOr<v1::Manifest> PublishOldSnapshot(FakeSnapshotStore& store) {
    fs::remove(root_ + "/dump/files/unique");
    v1::Manifest draft;
    draft.set_format(1);
    draft.mutable_info()->set_version_id("v1");
    return store.Publish(root_ + "/dump", draft);
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

// One secret for any time, one for after the restore, and a restore-time key.
inline void AddGiven(VersionState& version) {
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

}  // namespace thaw::agent

#endif  // THAW_TESTS_AGENT_CORE_STARTER_FIXTURE_H_
