#include "agent/checkpoint/crac_checkpointer.h"

#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "agent/checkpoint/function_call.h"
#include "agent/checkpoint/refusal.h"
#include "agent/uniqueness/cures.h"
#include "common/rpc/client.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::agent {
namespace {

using Json = nlohmann::json;

constexpr absl::Duration kImageLimit = absl::Seconds(5);
constexpr absl::Duration kPollInterval = absl::Milliseconds(5);

bool IsThere(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0;
}

// Differs for each making of a file of that name; empty when there is none.
std::string Making(const std::string& path) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) return "";
  return absl::StrCat(info.st_ino, ".", info.st_ctim.tv_sec, ".", info.st_ctim.tv_nsec);
}

bool HasFiles(const std::string& dir) {
  std::error_code error;
  return std::filesystem::directory_iterator(dir, error) != std::filesystem::directory_iterator();
}

}  // namespace

FrozenInstance CracCheckpointer::Freeze(const CheckpointRequest& request) {
  FrozenInstance frozen;
  const std::string& function = request.version.spec().function_name();
  const std::string dump_name = CracEngine::DumpName(request.instance_id);
  const std::string dump_dir = absl::StrCat(deps_.paths.Cracdata(request.slot->version_id()), "/", dump_name);

  absl::StatusOr<ImageInfo> image = deps_.images.Ensure(request.version, deps_.clock.Now() + kImageLimit);
  absl::Status written = image.status();
  std::vector<thaw::common::v1::Finding> findings;
  if (written.ok()) written = deps_.engine.Usable(*image);
  frozen.cures.uncured = {kUncuredByCrac};
  if (written.ok()) written = MayFreeze(frozen.cures, request.version.spec().freeze());
  // No init stands between this JVM and its CRIU: here is the last place to say no.
  if (written.ok() && request.sealed) {
    written = absl::FailedPreconditionError("this instance has secrets that are for after the restore only; a new instance "
                                            "can be frozen");
  }
  // It was started without the engine's options where that was not allowed at the time.
  if (written.ok() && !IsThere(dump_dir)) {
    written = absl::FailedPreconditionError("it was started before engine crac was allowed here; its next start is ready for it");
  }
  if (written.ok()) {
    written = WriteItself(request, dump_name, frozen, findings);
    if (written.ok()) written = CracEngine::WriteRestoreCommand(dump_dir, *image);
    request.slot->init().SetEventHandler(nullptr);
    if (!written.ok()) {
      std::error_code ignored;
      // Not the directory itself: the JVM that serves on may be asked again.
      std::filesystem::remove_all(absl::StrCat(dump_dir, "/images"), ignored);
      std::filesystem::remove_all(absl::StrCat(dump_dir, "/files"), ignored);
    }
  }
  if (!written.ok()) {
    frozen.status = WithReason(
        absl::Status(written.code(), absl::StrCat("function ", function, " can't be frozen: ", written.message())),
        absl::IsDeadlineExceeded(written) ? reason::kCheckpointTimeout : reason::kCheckpointRefused);
    Record(request, findings, frozen.status);
    return frozen;
  }
  frozen.dump_dir = dump_dir;
  frozen.engine = absl::StrCat("crac ", image->labels.at(kCracEngineLabel));
  return frozen;
}

void CracCheckpointer::Record(const CheckpointRequest& request, const std::vector<thaw::common::v1::Finding>& findings,
                              const absl::Status& status) {
  if (deps_.diagnoses == nullptr) return;
  thaw::common::v1::Diagnosis diagnosis;
  diagnosis.set_node_id(options_.node_id);
  diagnosis.set_instance_id(request.instance_id);
  *diagnosis.mutable_at() = ToProto(deps_.clock.Now());
  diagnosis.set_occasion("checkpoint");
  diagnosis.mutable_findings()->Add(findings.begin(), findings.end());
  diagnosis.add_uncured(kUncuredByCrac);
  diagnosis.set_error(std::string(status.message()));
  deps_.diagnoses->Add(request.version.spec().version_id(), std::move(diagnosis));
}

absl::Status CracCheckpointer::WriteItself(const CheckpointRequest& request, const std::string& dump_name,
                                           FrozenInstance& frozen, std::vector<thaw::common::v1::Finding>& findings) {
  const absl::Time begun = deps_.clock.Now();
  SlotInit& init = request.slot->init();
  auto ended = std::make_shared<absl::Notification>();
  init.SetEventHandler([ended](const InitEvent& event) {
    const bool gone = event.kind == InitEvent::Kind::kExit || event.kind == InitEvent::Kind::kDisconnected;
    if (gone && !ended->HasBeenNotified()) ended->Notify();
  });
  const std::string listener = absl::StrCat(request.slot->iofs_dir(), "/lsnr.sock");
  const std::string before = Making(listener);
  const absl::StatusOr<FunctionReply> reply =
      AskFdk(*request.connection, "POST", "/thaw/checkpoint", deps_.clock.Now() + options_.prepare_limit);
  request.connection->Close();
  if (!reply.ok()) {
    frozen.instance = InstanceAfter::kLost;
    return reply.status();
  }
  if (reply->status != 200) {
    findings = RefusalFindings(reply->body);
    return absl::FailedPreconditionError(absl::StrCat("it refuses: ", reply->body.substr(0, 4096)));
  }
  // Its listener goes first, and another comes only when there was no checkpoint, which can be quicker than one looks.
  const absl::Time deadline = absl::Now() + options_.dump_limit;
  const auto waits = [&] {
    const std::string now = Making(listener);
    return !ended->HasBeenNotified() && (now.empty() || now == before) && absl::Now() < deadline;
  };
  while (waits()) absl::SleepFor(kPollInterval);
  if (!ended->HasBeenNotified()) {
    frozen.instance = InstanceAfter::kLost;
    if (!IsThere(listener)) return absl::DeadlineExceededError("its JVM has neither written itself nor gone on in time");
    ASSIGN_OR_RETURN(const std::unique_ptr<FunctionConnection> connection,
                     deps_.restorer.Connect(*request.slot, options_.prepare_limit));
    const absl::StatusOr<FunctionReply> why =
        AskFdk(*connection, "GET", "/thaw/probe", deps_.clock.Now() + options_.prepare_limit);
    connection->Close();
    if (why.ok() && why->status == 200) {
      frozen.instance = InstanceAfter::kServing;
      const Json answer = Json::parse(why->body, nullptr, false);
      if (answer.is_object() && answer.contains("checkpointFailure")) {
        findings = RefusalFindings(answer["checkpointFailure"].dump(-1, ' ', false, Json::error_handler_t::replace));
      }
    }
    return absl::FailedPreconditionError(
        absl::StrCat("its JVM made no checkpoint: ", why.ok() ? why->body.substr(0, 4096) : why.status().message()));
  }
  frozen.instance = InstanceAfter::kLost;
  const std::string dump_dir = absl::StrCat(deps_.paths.Cracdata(request.slot->version_id()), "/", dump_name);
  if (!HasFiles(absl::StrCat(dump_dir, "/images"))) {
    return absl::InternalError("its JVM ended and has written no images; see `thaw logs`");
  }
  ASSIGN_OR_RETURN(frozen.report, init.Save(Paths::CracdataInside(dump_name), options_.dump_limit));
  frozen.report.duration = frozen.report.frozen = deps_.clock.Now() - begun;
  return absl::OkStatus();
}

}  // namespace thaw::agent
