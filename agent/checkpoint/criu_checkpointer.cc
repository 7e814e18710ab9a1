#include "agent/checkpoint/criu_checkpointer.h"

#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "agent/checkpoint/function_call.h"
#include "agent/checkpoint/obstacle_rules.h"
#include "agent/checkpoint/refusal.h"
#include "agent/instance/diagnosis.h"
#include "agent/invoke/declared_request.h"
#include "agent/snapshot/laid_out.h"
#include "agent/start/given.h"
#include "agent/start/thaw_starter.h"
#include "common/ids/ids.h"
#include "common/rpc/client.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::agent {
namespace {

constexpr absl::Duration kReadyLimit = absl::Seconds(5);
constexpr absl::Duration kResetLimit = absl::Seconds(10);
constexpr absl::Duration kRandomnessLimit = absl::Seconds(10);
constexpr absl::Duration kStatusLimit = absl::Seconds(5);

absl::Status Refused(absl::Status status, absl::string_view function) {
  return WithReason(absl::Status(status.code(), absl::StrCat("function ", function, " can't be frozen: ", status.message())),
                    absl::IsDeadlineExceeded(status)    ? reason::kCheckpointTimeout
                    : absl::IsResourceExhausted(status) ? reason::kDiskFull
                                                        : reason::kCheckpointRefused);
}

// OK when the restored process has answered `question` with 200.
absl::Status WellAnswered(absl::string_view question, const absl::StatusOr<FunctionReply>& reply) {
  if (!reply.ok()) {
    return absl::Status(reply.status().code(),
                        absl::StrCat("the restored process did not answer ", question, ": ", reply.status().message()));
  }
  if (reply->status == 200) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("the restored process answered ", question, " with HTTP status ", reply->status));
}

std::string ListenerLink(const std::string& iofs_dir) {
  char target[PATH_MAX];
  const ssize_t size = readlink(absl::StrCat(iofs_dir, "/lsnr.sock").c_str(), target, sizeof target);
  // Only a name in the same directory: what is made again at a restore must not lead elsewhere.
  if (size <= 0 || memchr(target, '/', static_cast<std::size_t>(size)) != nullptr) return "";
  return std::string(target, static_cast<std::size_t>(size));
}

}  // namespace

absl::Status CriuCheckpointer::Prepare(const CheckpointRequest& request, thaw::common::v1::Diagnosis& diagnosis) {
  // The event can come before the answer is read.
  auto ready = std::make_shared<absl::Notification>();
  request.slot->init().SetEventHandler([ready](const InitEvent& event) {
    if (event.kind == InitEvent::Kind::kCheckpointReady && !ready->HasBeenNotified()) ready->Notify();
  });
  ASSIGN_OR_RETURN(const FunctionReply reply, AskFdk(*request.connection, "POST", "/thaw/checkpoint",
                                                     deps_.clock.Now() + options_.prepare_limit));
  if (reply.status != 200) {
    for (auto& finding : RefusalFindings(reply.body)) *diagnosis.add_findings() = std::move(finding);
    return absl::FailedPreconditionError(absl::StrCat("one of its resources refuses: ", reply.body.substr(0, 4096)));
  }
  if (!ready->WaitForNotificationWithTimeout(kReadyLimit)) {
    return absl::DeadlineExceededError("it agreed but did not close its listener in time");
  }
  return absl::OkStatus();
}

absl::StatusOr<DumpReport> CriuCheckpointer::LookAndDump(const CheckpointRequest& request, const std::string& dump_name,
                                                         const Openers& openers,
                                                         thaw::common::v1::Diagnosis& diagnosis) {
  const ObstacleRules rules(request.version.spec().freeze());
  ASSIGN_OR_RETURN(std::vector<thaw::common::v1::Finding> found, request.slot->init().Look(kStatusLimit));
  DumpOrder order;
  const thaw::common::v1::Finding* blocking = nullptr;
  int blocks = 0;
  for (thaw::common::v1::Finding& finding : found) {
    rules.Decide(finding);
    openers.Explain(finding, diagnosis);
    if (finding.blocks() && blocks++ == 0) blocking = &finding;
    if (!finding.blocks()) order.actions.push_back(finding);
    *diagnosis.add_findings() = finding;
  }
  if (blocking != nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat(Describe(*blocking), " is in the way", blocks > 1 ? absl::StrCat(", and ", blocks - 1, " more") : "",
                     blocking->remedy().empty() ? "" : "; ", blocking->remedy()));
  }
  order.dir = Paths::CracdataInside(dump_name);
  order.leave_running = true;
  order.without_cures = WithoutCures(request.version.spec().freeze());
  order.time_limit = options_.dump_limit;
  absl::StatusOr<DumpReport> report = request.slot->init().Dump(order);
  if (report.ok()) return report;
  if (const auto told = DiagnosisOf(report.status()); told.has_value()) {
    diagnosis.set_raw_log(told->raw_log());
    for (thaw::common::v1::Finding finding : told->findings()) {
      openers.Explain(finding, diagnosis);
      finding.set_action(thaw::common::v1::OBSTACLE_ACTION_ERROR);
      finding.set_blocks(true);
      *diagnosis.add_findings() = std::move(finding);
    }
    if (!told->raw_log().empty()) KeepRawLog(request);
  }
  return report;
}

thaw::common::v1::Diagnosis CriuCheckpointer::NewDiagnosis(const CheckpointRequest& request, const char* occasion) const {
  thaw::common::v1::Diagnosis diagnosis;
  diagnosis.set_node_id(options_.node_id);
  diagnosis.set_instance_id(request.instance_id);
  *diagnosis.mutable_at() = ToProto(deps_.clock.Now());
  diagnosis.set_occasion(occasion);
  return diagnosis;
}

void CriuCheckpointer::Record(const CheckpointRequest& request, thaw::common::v1::Diagnosis diagnosis,
                              const absl::Status& status) {
  for (const auto& finding : diagnosis.findings()) {
    if (deps_.metrics != nullptr) deps_.metrics->CountObstacle(finding.kind());
    deps_.log->info("event=obstacle version={} instance={} kind={} what=\"{}\" action={} blocks={}",
                    request.version.spec().version_id(), request.instance_id, ObstacleKindName(finding.kind()),
                    finding.what(), ObstacleActionName(finding.action()), finding.blocks());
  }
  diagnosis.set_error(std::string(status.message()));
  if (deps_.diagnoses != nullptr) deps_.diagnoses->Add(request.version.spec().version_id(), std::move(diagnosis));
}

void CriuCheckpointer::KeepRawLog(const CheckpointRequest& request) {
  std::error_code error;
  std::filesystem::create_directories(deps_.paths.CriuLogs(), error);
  std::filesystem::copy_file(request.slot->ctl_dir() + "/criu-failed.log",
                             deps_.paths.CriuLog(request.version.spec().version_id()),
                             std::filesystem::copy_options::overwrite_existing, error);
  if (error) deps_.log->warn("event=criu_log_lost instance={} error=\"{}\"", request.instance_id, error.message());
}

FrozenInstance CriuCheckpointer::Freeze(const CheckpointRequest& request) {
  FrozenInstance frozen;
  const std::string& name = request.version.spec().function_name();
  Slot& slot = *request.slot;
  const std::string dump_name = absl::StrCat("dump-", request.instance_id);
  const std::string dump_dir = absl::StrCat(deps_.paths.Cracdata(slot.version_id()), "/", dump_name);
  std::error_code error;

  if (request.sealed) {
    frozen.status = Refused(absl::FailedPreconditionError("this instance has secrets that are for after the restore only; "
                                                          "a new instance can be frozen"),
                            name);
    return frozen;
  }
  const absl::StatusOr<bool> fdk = HasFdk(deps_.images, request.version, deps_.clock.Now() + kStatusLimit);
  if (!fdk.ok()) {
    frozen.status = fdk.status();
    return frozen;
  }
  const auto& settings = request.version.spec().freeze();
  const absl::StatusOr<std::vector<ProcessRandomness>> randomness = slot.init().Randomness(kRandomnessLimit);
  if (!randomness.ok()) {
    frozen.status = Refused(randomness.status(), name);
    return frozen;
  }
  frozen.cures = JudgeCures(*randomness, settings, *fdk);
  thaw::common::v1::Diagnosis diagnosis = NewDiagnosis(request, "checkpoint");
  const absl::Status may = MayFreeze(frozen.cures, settings);
  TellCures(frozen.cures, settings, diagnosis);
  if (!may.ok()) {
    frozen.status = Refused(may, name);
    Record(request, std::move(diagnosis), frozen.status);
    return frozen;
  }
  std::filesystem::remove_all(dump_dir, error);
  if (mkdir(dump_dir.c_str(), 0700) != 0) {
    frozen.status = Refused(errno == ENOSPC ? absl::ResourceExhaustedError("the disk is full")
                                            : absl::InternalError(absl::StrCat(dump_dir, ": ", strerror(errno))),
                            name);
    return frozen;
  }
  Openers openers;
  bool asleep = false;
  if (*fdk) {
    openers = ReadOpeners(CallAndWait(*request.connection, OpenersQuestion(deps_.clock.Now() + kStatusLimit)));
    openers.pids = JavaProcesses(*randomness);
    const absl::Status prepared = Prepare(request, diagnosis);
    asleep = prepared.ok();
    if (!prepared.ok()) {
      std::filesystem::remove_all(dump_dir, error);
      request.connection->Close();
      frozen.status = Refused(prepared, name);
      Record(request, std::move(diagnosis), frozen.status);
      // A refusal leaves it serving; a function that did not answer at all has lost its listener, or its mind.
      frozen.instance = absl::IsFailedPrecondition(prepared) ? InstanceAfter::kServing : InstanceAfter::kLost;
      slot.init().SetEventHandler(nullptr);
      return frozen;
    }
  }
  request.connection->Close();
  absl::StatusOr<DumpReport> report = LookAndDump(request, dump_name, openers, diagnosis);
  absl::Status serving;
  if (report.ok() && HasLateSecrets(request.version)) {
    // What goes on is as good as restored; before it wakes, so that its afterRestore finds them.
    frozen.sealed = true;
    serving = slot.init().Give(MakeGiven(request.version, true), kStatusLimit);
  }
  if (asleep) serving.Update(slot.init().Resume(report.ok() ? "" : report.status().message(), kStatusLimit));
  if (serving.ok()) serving = deps_.restorer.Connect(slot, options_.resume_limit).status();
  frozen.instance = serving.ok() ? InstanceAfter::kServing : InstanceAfter::kLost;
  slot.init().SetEventHandler(nullptr);
  if (!report.ok()) {
    std::filesystem::remove_all(dump_dir, error);
    frozen.status = Refused(report.status(), name);
    Record(request, std::move(diagnosis), frozen.status);
    return frozen;
  }
  Record(request, std::move(diagnosis), absl::OkStatus());
  frozen.report = *std::move(report);
  frozen.dump_dir = dump_dir;
  return frozen;
}

absl::Status CriuCheckpointer::Canary(const CheckpointRequest& request, const v1::Manifest& manifest,
                                      const std::string& name, Slot& slot) {
  ASSIGN_OR_RETURN(std::unique_ptr<FunctionConnection> connection,
                   deps_.restorer.Restore(slot, manifest, name, absl::StrCat("canary-", request.instance_id),
                                          MakeGiven(request.version, false), options_.canary_limit));
  // No FDK of ours: that it listens is all it can say by itself.
  absl::Status well = manifest.listener_link().empty()
                          ? WellAnswered("its probe", AskFdk(*connection, "GET", "/thaw/probe",
                                                             deps_.clock.Now() + options_.canary_limit))
                          : absl::OkStatus();
  const auto& spec = request.version.spec();
  if (well.ok() && spec.freeze().has_canary()) {
    const absl::Time deadline = deps_.clock.Now() + std::min(FromProto(spec.timeout()), options_.canary_limit);
    well = WellAnswered("its canary request", CallAndWait(*connection, DeclaredRequest(spec.freeze().canary(), deadline)));
  }
  connection->Close();
  return well;
}

void CriuCheckpointer::RecordCanary(const CheckpointRequest& request, const absl::Status& canary,
                                    const absl::Status& failed) {
  thaw::common::v1::Diagnosis diagnosis = NewDiagnosis(request, "canary");
  if (const auto told = DiagnosisOf(canary); told.has_value()) {
    diagnosis.set_raw_log(told->raw_log());
    for (thaw::common::v1::Finding finding : told->findings()) {
      finding.set_action(thaw::common::v1::OBSTACLE_ACTION_ERROR);
      finding.set_blocks(true);
      *diagnosis.add_findings() = std::move(finding);
    }
  }
  Record(request, std::move(diagnosis), failed);
}

absl::StatusOr<Checkpointer::Published> CriuCheckpointer::Publish(const CheckpointRequest& request,
                                                                  const FrozenInstance& frozen,
                                                                  std::unique_ptr<Slot> canary_slot) {
  const auto& spec = request.version.spec();
  std::error_code error;
  // Whatever goes wrong below, the dump is gone afterwards.
  const std::unique_ptr<const std::string, void (*)(const std::string*)> remove_dump(
      &frozen.dump_dir, [](const std::string* dir) {
        std::error_code ignored;
        std::filesystem::remove_all(*dir, ignored);
      });

  v1::Manifest draft;
  draft.set_format(1);
  auto& info = *draft.mutable_info();
  info.set_version_id(spec.version_id());
  info.set_function_id(spec.function_id());
  info.set_function_name(spec.function_name());
  info.set_app_name(spec.app_name());
  info.set_node_id(options_.node_id);
  *info.mutable_created_at() = ToProto(deps_.clock.Now());
  *info.mutable_checkpoint_duration() = ToProto(frozen.report.duration);
  info.set_invocations(request.answered);
  info.set_architecture(options_.cpu.host.architecture);
  ASSIGN_OR_RETURN(const ImageInfo image, deps_.images.Ensure(request.version, deps_.clock.Now() + kStatusLimit));
  for (const std::string& feature :
       FrozenFeatures(options_.cpu, EffectiveLevel(options_.cpu, spec.freeze().cpu_baseline()), FunctionCommand(image))) {
    info.add_cpu_features(feature);
  }
  utsname host;
  uname(&host);
  for (const std::string& uncured : frozen.cures.uncured) info.add_uncured(uncured);
  draft.set_kernel(host.release);
  draft.set_stdout_pipe(frozen.report.stdout_pipe);
  draft.set_stderr_pipe(frozen.report.stderr_pipe);
  draft.set_resume_marker(frozen.report.resume_marker);
  draft.set_uid(frozen.report.uid);
  draft.set_gid(frozen.report.gid);
  ASSIGN_OR_RETURN(const bool fdk, HasFdk(deps_.images, request.version, deps_.clock.Now() + kStatusLimit));
  if (!fdk) draft.set_listener_link(ListenerLink(request.slot->iofs_dir()));

  if (canary_slot == nullptr) {
    ASSIGN_OR_RETURN(canary_slot, deps_.slots.Create(request.version, deps_.clock.Now() + options_.slot_limit));
  }
  const absl::StatusOr<InitStatus> init = canary_slot->init().GetStatus(kStatusLimit);
  if (init.ok()) {
    draft.set_criu_version(init->criu_version);
    info.set_engine(absl::StrCat("criu ", init->criu_version));
  }
  if (!frozen.engine.empty()) info.set_engine(frozen.engine);
  const std::string dump_name = std::filesystem::path(frozen.dump_dir).filename().string();
  absl::Status canary = Canary(request, draft, dump_name, *canary_slot);
  const absl::Status reset = canary_slot->init().Reset(kResetLimit);
  if (!reset.ok()) deps_.slots.Destroy(std::move(canary_slot));
  if (!canary.ok()) {
    if (canary_slot != nullptr) deps_.slots.Destroy(std::move(canary_slot));
    const absl::Status failed =
        WithReason(absl::Status(canary.code(), absl::StrCat("the canary restore of function ", spec.function_name(),
                                                            "'s checkpoint failed, so it is not published: ",
                                                            canary.message())),
                   reason::kCanaryFailed);
    RecordCanary(request, canary, failed);
    return failed;
  }

  absl::StatusOr<v1::Manifest> manifest = deps_.store.Publish(frozen.dump_dir, std::move(draft));
  if (!manifest.ok()) {
    if (canary_slot != nullptr) deps_.slots.Destroy(std::move(canary_slot));
    return manifest.status();
  }
  // What was dumped here need not be laid out again from its chunks. Should the rename fail, it will be.
  std::filesystem::rename(frozen.dump_dir,
                          absl::StrCat(deps_.paths.Cracdata(spec.version_id()), "/", manifest->info().id()), error);
  // Removed again meanwhile, by a person say? Then its memory image goes as well.
  LaidOutSnapshots(deps_.store, deps_.paths).RemoveUnlessStored(manifest->info().id()).IgnoreError();
  Published published;
  published.snapshot = manifest->info();
  published.canary_slot = std::move(canary_slot);
  return published;
}

}  // namespace thaw::agent
