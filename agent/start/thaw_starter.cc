#include "agent/start/thaw_starter.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/uniqueness/cures.h"
#include "agent/start/given.h"
#include "agent/cpu/cpu_limits.h"
#include "common/cpu/fit.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::agent {
namespace {

using thaw::common::v1::CheckpointPolicy;

constexpr absl::Duration kResetLimit = absl::Seconds(10);
constexpr absl::Duration kStartOrderLimit = absl::Seconds(10);
constexpr absl::Duration kShortestRestoreLimit = absl::Seconds(1);

// What each dump leaves for the cures of its restores (agent/init/unique_shim.h: kUniquePlanName).
constexpr char kCuresFile[] = "files/unique";

absl::Status Uncured(const std::string& snapshot_id) {
  return absl::FailedPreconditionError(
      absl::StrCat("snapshot ", snapshot_id, " was made before Thaw cured random numbers, so all its restores would draw the "
                   "same: it is given up; another is made by the function's policy, or with `thaw snapshot create`"));
}

bool MayThaw(const VersionState& version) { return version.spec().checkpoint().mode() != CheckpointPolicy::MODE_NEVER; }

}  // namespace

// Time that is taken in laps.
class ThawStarter::Stopwatch {
 public:
  explicit Stopwatch(const Clock& clock) : clock_(clock), last_(clock.Now()) {}
  absl::Duration Lap() {
    const absl::Time before = std::exchange(last_, clock_.Now());
    return last_ - before;
  }

 private:
  const Clock& clock_;
  absl::Time last_;
};

std::vector<std::string> FunctionCommand(const ImageInfo& image) {
  std::vector<std::string> argv = image.entrypoint;
  if (argv.size() >= 2 && argv[0] == "/thaw/init" && argv[1] == "--") argv.erase(argv.begin(), argv.begin() + 2);
  argv.insert(argv.end(), image.cmd.begin(), image.cmd.end());
  return argv;
}

namespace {

// The function's whole environment: the image's, then the config, then what Fn's contract says (facts, section 2.1).
std::map<std::string, std::string> FunctionEnvironment(const VersionState& version, const ImageInfo& image) {
  std::map<std::string, std::string> env = {{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
                                            {"HOME", "/tmp"}};
  for (const std::string& pair : image.env) {
    const std::pair<std::string, std::string> split = absl::StrSplit(pair, absl::MaxSplits('=', 1));
    env[split.first] = split.second;
  }
  const auto& spec = version.spec();
  for (const auto& [key, value] : spec.config()) env[key] = value;
  for (const auto& [key, value] : version.restore_time_config()) env[key] = value;
  env["FN_LISTENER"] = "unix:/tmp/iofs/lsnr.sock";
  env["FN_FORMAT"] = "http-stream";
  env["FN_TYPE"] = "sync";
  env["FN_MEMORY"] = absl::StrCat(spec.memory_mib());
  env["FN_APP_ID"] = spec.app_id();
  env["FN_FN_ID"] = spec.function_id();
  env["FN_APP_NAME"] = spec.app_name();
  env["FN_FN_NAME"] = spec.function_name();
  return env;
}

}  // namespace

absl::Status ThawStarter::SnapshotFits(const VersionState& version, const NodeCpu& cpu, const std::string& node_id) {
  if (!version.unfit_reason().empty()) {
    return WithReason(absl::FailedPreconditionError(version.unfit_reason()), reason::kCpuUnfit);
  }
  if (!version.has_snapshot()) return absl::OkStatus();
  return CheckCpuFits(version.snapshot(), cpu.AsNode(node_id));
}

absl::StatusOr<StartedInstance> ThawStarter::Start(StartRequest request) {
  StartedInstance started;
  started.slot = std::move(request.slot);
  StartPhases& phases = started.record.phases;
  const absl::Status fits = SnapshotFits(request.version, options_.cpu, options_.node_id);
  const bool thaw = MayThaw(request.version) && request.version.has_snapshot() && fits.ok();
  if (MayThaw(request.version) && !fits.ok()) {
    deps_.metrics.unfit_snapshots->Increment();
    started.record.fallback_reason = std::string(fits.message());
  }
  if (absl::Status lacking = CheckSecrets(request.version); !lacking.ok()) {
    if (started.slot != nullptr) deps_.slots.Destroy(std::move(started.slot));
    deps_.metrics.CountStart(thaw ? StartKind::kRestored : StartKind::kCold, AgentMetrics::StartResult::kFailed);
    return lacking;
  }
  Stopwatch watch(deps_.clock);
  if (started.slot == nullptr) {
    absl::StatusOr<std::unique_ptr<Slot>> slot = deps_.slots.Create(
        request.version, std::min(deps_.clock.Now() + options_.slot_limit, request.call_deadline));
    if (!slot.ok()) {
      deps_.metrics.CountStart(thaw ? StartKind::kRestored : StartKind::kCold, AgentMetrics::StartResult::kFailed);
      return slot.status();
    }
    started.slot = *std::move(slot);
  }
  phases.container = watch.Lap();

  if (thaw) {
    absl::Status thawed = Thaw(request, started, watch);
    if (!thawed.ok() && started.slot != nullptr && request.replaced) {
      std::optional<VersionState> newest = request.replaced(request.version.snapshot().id());
      if (newest.has_value()) {
        deps_.log->info("event=snapshot_replaced_meanwhile version={} snapshot={} by={}", request.version.spec().version_id(),
                        request.version.snapshot().id(), newest->snapshot().id());
        request.version = *std::move(newest);
        thawed = Thaw(request, started, watch);
      }
    }
    if (thawed.ok()) {
      deps_.metrics.CountStart(started.record.kind, AgentMetrics::StartResult::kOk);
      return started;
    }
    deps_.metrics.CountStart(started.record.kind, AgentMetrics::StartResult::kFellBack);
    deps_.log->warn("event=restore_fell_back version={} snapshot={} error=\"{}\"", request.version.spec().version_id(),
                    request.version.snapshot().id(), thawed.ToString());
    started.record.fallback_reason = std::string(thawed.message());
  }

  started.record.kind = StartKind::kCold;
  if (started.slot == nullptr) {
    absl::StatusOr<std::unique_ptr<Slot>> slot = deps_.slots.Create(
        request.version, std::min(deps_.clock.Now() + options_.slot_limit, request.call_deadline));
    if (!slot.ok()) {
      deps_.metrics.CountStart(StartKind::kCold, AgentMetrics::StartResult::kFailed);
      return slot.status();
    }
    started.slot = *std::move(slot);
    phases.container += watch.Lap();
  }
  // Where a snapshot is there and could not be used, no other freeze is near: the function gets all that is its own.
  const Given given = MakeGiven(request.version, !request.awaits_freeze || request.version.has_snapshot());
  started.sealed = given.sealed;
  absl::StatusOr<std::unique_ptr<FunctionConnection>> connection =
      StartCold(request.version, *started.slot, request.instance_id, given, request.call_deadline);
  phases.restore += watch.Lap();
  if (!connection.ok()) {
    deps_.metrics.CountStart(StartKind::kCold, AgentMetrics::StartResult::kFailed);
    deps_.slots.Destroy(std::move(started.slot));
    return connection.status();
  }
  started.connection = *std::move(connection);
  deps_.metrics.CountStart(StartKind::kCold, AgentMetrics::StartResult::kOk);
  return started;
}

absl::Status ThawStarter::Thaw(const StartRequest& request, StartedInstance& started, Stopwatch& watch) {
  StartPhases& phases = started.record.phases;
  const std::string& snapshot_id = request.version.snapshot().id();
  // Not evicted from here until CRIU has read it all.
  const std::shared_ptr<void> in_use = deps_.store.Use(snapshot_id);
  bool remote = false;
  const absl::StatusOr<v1::Manifest> manifest =
      Ready(request.version, std::min(deps_.clock.Now() + options_.fetch_limit, request.call_deadline), remote);
  const absl::Status cured = manifest.ok() ? CheckCured(request.version, *manifest) : manifest.status();
  phases.fetch += watch.Lap();
  started.record.kind = remote ? StartKind::kRestoredRemote : StartKind::kRestored;
  RETURN_IF_ERROR(cured);
  const Given given = MakeGiven(request.version, true);
  const absl::Duration left = request.call_deadline - deps_.clock.Now();
  absl::StatusOr<std::unique_ptr<FunctionConnection>> connection =
      deps_.restorer.Restore(*started.slot, *manifest, snapshot_id, request.instance_id, given,
                             std::clamp(left / 3, kShortestRestoreLimit, options_.restore_limit));
  phases.restore += watch.Lap();
  if (!connection.ok()) {
    CountRestoreFailure(snapshot_id, connection.status());
    const absl::Status reset = ResetSlot(started.slot);
    if (!reset.ok()) deps_.log->warn("event=slot_lost error=\"{}\"", reset.ToString());
    return connection.status();
  }
  started.connection = *std::move(connection);
  started.answered_before = manifest->info().invocations();
  started.sealed = given.sealed;
  absl::MutexLock lock(&mu_);
  restore_failures_.erase(snapshot_id);
  return absl::OkStatus();
}

absl::StatusOr<v1::Manifest> ThawStarter::Ready(const VersionState& version, absl::Time deadline, bool& remote) {
  const std::string& snapshot_id = version.snapshot().id();
  const std::string& version_id = version.spec().version_id();
  {
    absl::MutexLock lock(&mu_);
    if (uncured_.contains(snapshot_id)) return Uncured(snapshot_id);
  }
  absl::StatusOr<v1::Manifest> manifest = LayOut(snapshot_id, version_id, deadline);
  if (manifest.ok()) return manifest;
  if (!absl::IsNotFound(manifest.status()) && !absl::IsDataLoss(manifest.status())) return manifest;
  // Not here, or here and damaged (and by now quarantined): another holder's copy is as good as any.
  remote = true;
  const absl::Status fetched = deps_.snapshots.Fetch(version, deadline);
  if (!fetched.ok()) {
    return absl::Status(fetched.code(), absl::IsDataLoss(manifest.status())
                                            ? absl::StrCat(manifest.status().message(), "; and ", fetched.message())
                                            : std::string(fetched.message()));
  }
  manifest = LayOut(snapshot_id, version_id, deadline);
  if (manifest.ok()) deps_.snapshots.ReportHeld(manifest->info());
  return manifest;
}

absl::StatusOr<v1::Manifest> ThawStarter::LayOut(const std::string& snapshot_id, const std::string& version_id,
                                                 absl::Time deadline) {
  absl::StatusOr<v1::Manifest> manifest = deps_.store.GetManifest(snapshot_id);
  if (absl::IsDataLoss(manifest.status())) {
    RemoveLaidOut(snapshot_id);
    deps_.snapshots.ReportGone(snapshot_id, std::string(manifest.status().message()));
  }
  RETURN_IF_ERROR(manifest.status());
  const std::string dir = absl::StrCat(deps_.paths.Cracdata(version_id), "/", snapshot_id);
  std::error_code error;
  absl::Status ready;
  // Nearly always it is there, and sound. Each start hashes it for itself, as many at once as there are: a
  // lock over this would make each restore wait for all the others'.
  if (std::filesystem::exists(dir, error) && deps_.store.Verify(snapshot_id, dir).ok()) return manifest;
  const std::unique_ptr<KeyLocks::Held> held = laying_out_.HoldWithin(snapshot_id, deadline - deps_.clock.Now());
  if (held == nullptr) {
    return absl::DeadlineExceededError(
        absl::StrCat("snapshot ", snapshot_id, " was still being laid out for another instance when this one's call ",
                     "could wait no longer"));
  }
  if (std::filesystem::exists(dir, error)) {
    // Another start may have laid it out anew meanwhile.
    ready = deps_.store.Verify(snapshot_id, dir);
    if (ready.ok()) return manifest;
    // The laid-out copy is not what was frozen. It is never restored; the chunks may still be sound.
    deps_.log->error("event=laid_out_snapshot_damaged snapshot={} error=\"{}\"", snapshot_id, ready.ToString());
    std::filesystem::remove_all(dir, error);
  }
  ready = deps_.store.Materialize(snapshot_id, dir);
  if (ready.ok()) {
    // Whoever removes a snapshot takes the store's copy first and then looks for what is laid out: it may have looked
    // before this was.
    manifest = deps_.store.GetManifest(snapshot_id);
    if (!manifest.ok()) RemoveLaidOut(snapshot_id);
    return manifest;
  }
  if (absl::IsDataLoss(ready)) {
    const absl::Status quarantined = deps_.store.Quarantine(snapshot_id, ready.message());
    deps_.log->error("event=snapshot_quarantined snapshot={} error=\"{}\" quarantine=\"{}\"", snapshot_id, ready.ToString(),
                     quarantined.ToString());
    deps_.snapshots.ReportGone(snapshot_id, std::string(ready.message()));
  }
  return ready;
}

absl::Status ThawStarter::CheckCured(const VersionState& version, const v1::Manifest& manifest) {
  if (version.spec().freeze().accept_uncured() || deps_.engines.OfSnapshot(manifest.info().engine()).name() == "crac") {
    return absl::OkStatus();
  }
  const bool cured = std::any_of(manifest.entries().begin(), manifest.entries().end(),
                                 [](const v1::Entry& entry) { return entry.path() == kCuresFile; });
  if (cured) return absl::OkStatus();
  const std::string& snapshot_id = manifest.info().id();
  {
    absl::MutexLock lock(&mu_);
    uncured_.insert(snapshot_id);
  }
  const absl::Status uncured = Uncured(snapshot_id);
  const absl::Status quarantined = deps_.store.Quarantine(snapshot_id, uncured.message());
  RemoveLaidOut(snapshot_id);
  deps_.log->error("event=snapshot_uncured snapshot={} quarantine=\"{}\"", snapshot_id, quarantined.ToString());
  deps_.snapshots.ReportGone(snapshot_id, std::string(uncured.message()));
  return uncured;
}

void ThawStarter::CountRestoreFailure(const std::string& snapshot_id, const absl::Status& status) {
  {
    absl::MutexLock lock(&mu_);
    if (++restore_failures_[snapshot_id] < kMaxRestoreFailures) return;
    restore_failures_.erase(snapshot_id);
  }
  const absl::Status quarantined = deps_.store.Quarantine(snapshot_id, status.message());
  RemoveLaidOut(snapshot_id);
  deps_.log->error("event=snapshot_given_up snapshot={} failures={} quarantine=\"{}\"", snapshot_id, kMaxRestoreFailures,
                   quarantined.ToString());
  deps_.snapshots.ReportGone(snapshot_id, absl::StrCat("failed to restore ", kMaxRestoreFailures,
                                                       " times in a row: ", status.message()));
}

void ThawStarter::RemoveLaidOut(const std::string& snapshot_id) {
  const absl::Status removed = laid_out_.RemoveUnlessStored(snapshot_id);
  if (!removed.ok()) {
    deps_.log->error("event=laid_out_snapshot_not_removed snapshot={} error=\"{}\"", snapshot_id, removed.ToString());
  }
}

absl::Status ThawStarter::ResetSlot(std::unique_ptr<Slot>& slot) {
  const absl::Status reset = slot->init().Reset(kResetLimit);
  if (!reset.ok()) deps_.slots.Destroy(std::move(slot));
  return reset;
}

absl::StatusOr<std::unique_ptr<FunctionConnection>> ThawStarter::StartCold(const VersionState& version, Slot& slot,
                                                                           const std::string& instance_id,
                                                                           const Given& given,
                                                                           absl::Time call_deadline) {
  ASSIGN_OR_RETURN(const ImageInfo image,
                   deps_.images.Ensure(version, std::min(deps_.clock.Now() + options_.slot_limit, call_deadline)));
  StartOrder order;
  order.argv = FunctionCommand(image);
  if (order.argv.empty()) {
    return WithReason(absl::FailedPreconditionError(absl::StrCat("image ", version.spec().image(),
                                                                 " has neither ENTRYPOINT nor CMD; give it one")),
                      reason::kImageUnavailable);
  }
  order.env = FunctionEnvironment(version, image);
  if (options_.has_preload) AddCures(version.spec().freeze(), order.env);
  order.working_dir = image.working_dir.empty() ? "/" : image.working_dir;
  LimitCpu(EffectiveLevel(options_.cpu, version.spec().freeze().cpu_baseline()), version.spec().engine(), order.env,
           order.argv);
  order.instance_id = instance_id;
  order.given = given;
  order.meta = MakeInstanceMeta(version.spec().version_id(), 0);
  const CheckpointEngine& engine = deps_.engines.OfVersion(version.spec().engine());
  const absl::Status usable = engine.Usable(image);
  if (usable.ok()) {
    RETURN_IF_ERROR(engine.PrepareStart(image, slot, order));
  } else {
    // It serves all the same; its checkpoint is refused with the same words.
    deps_.log->warn("event=engine_not_usable version={} engine={} error=\"{}\"", version.spec().version_id(),
                    std::string(engine.name()), usable.ToString());
  }
  const absl::StatusOr<int> pid = slot.init().Start(order, kStartOrderLimit);
  if (!pid.ok()) {
    return WithReason(absl::Status(pid.status().code(), absl::StrCat("function ", version.spec().function_name(),
                                                                     " can't be started: ", pid.status().message())),
                      reason::kFunctionExited);
  }
  const absl::Duration limit =
      std::clamp(call_deadline - deps_.clock.Now(), kShortestRestoreLimit, options_.listen_limit);
  absl::StatusOr<std::unique_ptr<FunctionConnection>> connection = deps_.restorer.Connect(slot, limit);
  if (connection.ok()) return connection;
  // The dialer knows paths only; a person wants the function's name.
  absl::Status named(connection.status().code(),
                     absl::StrCat("function ", version.spec().function_name(),
                                  " did not come up: ", connection.status().message(), "; see `thaw logs`"));
  const std::string why = ReasonOf(connection.status());
  return WithReason(std::move(named), why.empty() ? reason::kFunctionNeverListened : why);
}

}  // namespace thaw::agent
