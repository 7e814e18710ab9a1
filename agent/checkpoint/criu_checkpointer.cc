#include "agent/checkpoint/criu_checkpointer.h"

#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "agent/start/given.h"
#include "common/ids/ids.h"
#include "common/rpc/client.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::agent {
namespace {

constexpr char kFdkLabel[] = "io.thaw.fdk";
constexpr absl::Duration kReadyLimit = absl::Seconds(5);
constexpr absl::Duration kResetLimit = absl::Seconds(10);
constexpr absl::Duration kStatusLimit = absl::Seconds(5);

// One call on the function's socket, waited for.
absl::StatusOr<FunctionReply> CallAndWait(FunctionConnection& connection, FunctionRequest request) {
  auto done = std::make_shared<absl::Notification>();
  auto result = std::make_shared<absl::StatusOr<FunctionReply>>(absl::UnknownError("no answer"));
  connection.Call(std::move(request), [done, result](absl::StatusOr<FunctionReply> reply) {
    *result = std::move(reply);
    done->Notify();
  });
  done->WaitForNotification();
  return std::move(*result);
}

absl::Status Refused(absl::Status status, absl::string_view function) {
  return WithReason(absl::Status(status.code(), absl::StrCat("function ", function, " can't be frozen: ", status.message())),
                    absl::IsDeadlineExceeded(status)    ? reason::kCheckpointTimeout
                    : absl::IsResourceExhausted(status) ? reason::kDiskFull
                                                        : reason::kCheckpointRefused);
}

std::string ListenerLink(const std::string& iofs_dir) {
  char target[PATH_MAX];
  const ssize_t size = readlink(absl::StrCat(iofs_dir, "/lsnr.sock").c_str(), target, sizeof target);
  // Only a name in the same directory: what is made again at a restore must not lead elsewhere.
  if (size <= 0 || memchr(target, '/', static_cast<std::size_t>(size)) != nullptr) return "";
  return std::string(target, static_cast<std::size_t>(size));
}

}  // namespace

absl::StatusOr<bool> CriuCheckpointer::HasFdk(const VersionState& version) {
  ASSIGN_OR_RETURN(const ImageInfo image, deps_.images.Ensure(version, deps_.clock.Now() + kStatusLimit));
  return image.labels.contains(kFdkLabel);
}

absl::Status CriuCheckpointer::Prepare(const CheckpointRequest& request) {
  // The event can come before the answer is read.
  auto ready = std::make_shared<absl::Notification>();
  request.slot->init().SetEventHandler([ready](const InitEvent& event) {
    if (event.kind == InitEvent::Kind::kCheckpointReady && !ready->HasBeenNotified()) ready->Notify();
  });
  FunctionRequest prepare;
  prepare.target = "/thaw/checkpoint";
  prepare.headers = {{"Host", "localhost"}};
  prepare.deadline = deps_.clock.Now() + options_.prepare_limit;
  ASSIGN_OR_RETURN(const FunctionReply reply, CallAndWait(*request.connection, std::move(prepare)));
  if (reply.status != 200) {
    return absl::FailedPreconditionError(absl::StrCat("one of its resources refuses: ", reply.body.substr(0, 4096)));
  }
  if (!ready->WaitForNotificationWithTimeout(kReadyLimit)) {
    return absl::DeadlineExceededError("it agreed but did not close its listener in time");
  }
  return absl::OkStatus();
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
  const absl::StatusOr<bool> fdk = HasFdk(request.version);
  if (!fdk.ok()) {
    frozen.status = fdk.status();
    return frozen;
  }
  std::filesystem::remove_all(dump_dir, error);
  if (mkdir(dump_dir.c_str(), 0700) != 0) {
    frozen.status = Refused(errno == ENOSPC ? absl::ResourceExhaustedError("the disk is full")
                                            : absl::InternalError(absl::StrCat(dump_dir, ": ", strerror(errno))),
                            name);
    return frozen;
  }
  bool asleep = false;
  if (*fdk) {
    const absl::Status prepared = Prepare(request);
    asleep = prepared.ok();
    if (!prepared.ok()) {
      std::filesystem::remove_all(dump_dir, error);
      request.connection->Close();
      frozen.status = Refused(prepared, name);
      // A refusal leaves it serving; a function that did not answer at all has lost its listener, or its mind.
      frozen.instance = absl::IsFailedPrecondition(prepared) ? InstanceAfter::kServing : InstanceAfter::kLost;
      slot.init().SetEventHandler(nullptr);
      return frozen;
    }
  }
  request.connection->Close();
  DumpOrder order;
  order.dir = Paths::CracdataInside(dump_name);
  order.leave_running = true;
  order.time_limit = options_.dump_limit;
  absl::StatusOr<DumpReport> report = slot.init().Dump(order);
  absl::Status serving;
  if (report.ok() && HasLateSecrets(request.version)) {
    // What goes on is as good as restored; before it wakes, so that its afterRestore finds them.
    frozen.sealed = true;
    serving = slot.init().Give(MakeGiven(request.version, true), kStatusLimit);
  }
  if (asleep) serving.Update(slot.init().Resume(kStatusLimit));
  if (serving.ok()) serving = deps_.restorer.Connect(slot, options_.resume_limit).status();
  frozen.instance = serving.ok() ? InstanceAfter::kServing : InstanceAfter::kLost;
  slot.init().SetEventHandler(nullptr);
  if (!report.ok()) {
    std::filesystem::remove_all(dump_dir, error);
    frozen.status = Refused(report.status(), name);
    return frozen;
  }
  frozen.report = *std::move(report);
  frozen.dump_dir = dump_dir;
  return frozen;
}

absl::Status CriuCheckpointer::Canary(const CheckpointRequest& request, const v1::Manifest& manifest,
                                      const std::string& name, Slot& slot) {
  ASSIGN_OR_RETURN(std::unique_ptr<FunctionConnection> connection,
                   deps_.restorer.Restore(slot, manifest, name, absl::StrCat("canary-", request.instance_id),
                                          MakeGiven(request.version, false),                                          options_.canary_limit));
  if (!manifest.listener_link().empty()) return absl::OkStatus();  // No FDK of ours: that it listens is all it can say.
  FunctionRequest probe;
  probe.method = "GET";
  probe.target = "/thaw/probe";
  probe.headers = {{"Host", "localhost"}};
  probe.deadline = deps_.clock.Now() + options_.canary_limit;
  const absl::StatusOr<FunctionReply> reply = CallAndWait(*connection, std::move(probe));
  connection->Close();
  RETURN_IF_ERROR(reply.status());
  if (reply->status != 200) {
    return absl::InternalError(absl::StrCat("the restored process answered its probe with HTTP status ", reply->status));
  }
  return absl::OkStatus();
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
  utsname host;
  uname(&host);
  info.set_architecture(host.machine);
  draft.set_kernel(host.release);
  draft.set_stdout_pipe(frozen.report.stdout_pipe);
  draft.set_stderr_pipe(frozen.report.stderr_pipe);
  draft.set_resume_marker(frozen.report.resume_marker);
  draft.set_uid(frozen.report.uid);
  draft.set_gid(frozen.report.gid);
  ASSIGN_OR_RETURN(const bool fdk, HasFdk(request.version));
  if (!fdk) draft.set_listener_link(ListenerLink(request.slot->iofs_dir()));

  if (canary_slot == nullptr) {
    ASSIGN_OR_RETURN(canary_slot, deps_.slots.Create(request.version, deps_.clock.Now() + options_.slot_limit));
  }
  const absl::StatusOr<InitStatus> init = canary_slot->init().GetStatus(kStatusLimit);
  if (init.ok()) {
    draft.set_criu_version(init->criu_version);
    info.set_engine(absl::StrCat("criu ", init->criu_version));
  }
  const std::string dump_name = std::filesystem::path(frozen.dump_dir).filename().string();
  absl::Status canary = Canary(request, draft, dump_name, *canary_slot);
  const absl::Status reset = canary_slot->init().Reset(kResetLimit);
  if (!reset.ok()) deps_.slots.Destroy(std::move(canary_slot));
  if (!canary.ok()) {
    if (canary_slot != nullptr) deps_.slots.Destroy(std::move(canary_slot));
    return WithReason(absl::Status(canary.code(), absl::StrCat("the canary restore of function ", spec.function_name(),
                                                               "'s checkpoint failed, so it is not published: ",
                                                               canary.message())),
                      reason::kCanaryFailed);
  }

  absl::StatusOr<v1::Manifest> manifest = deps_.store.Publish(frozen.dump_dir, std::move(draft));
  if (!manifest.ok()) {
    if (canary_slot != nullptr) deps_.slots.Destroy(std::move(canary_slot));
    return manifest.status();
  }
  // What was dumped here need not be laid out again from its chunks. Should the rename fail, it will be.
  std::filesystem::rename(frozen.dump_dir,
                          absl::StrCat(deps_.paths.Cracdata(spec.version_id()), "/", manifest->info().id()), error);
  Published published;
  published.snapshot = manifest->info();
  published.canary_slot = std::move(canary_slot);
  return published;
}

}  // namespace thaw::agent
