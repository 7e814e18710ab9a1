#include "agent/start/restorer.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/state/paths.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::agent {

std::string MakeInstanceMeta(const std::string& version_id, std::uint64_t answered) {
  return absl::StrCat("version=", version_id, " answered=", answered);
}

bool ParseInstanceMeta(const std::string& meta, std::string& version_id, std::uint64_t& answered) {
  const std::vector<std::string> parts = absl::StrSplit(meta, ' ');
  if (parts.size() != 2 || !absl::StartsWith(parts[0], "version=") || !absl::StartsWith(parts[1], "answered=")) {
    return false;
  }
  version_id = parts[0].substr(8);
  return absl::SimpleAtoi(parts[1].substr(9), &answered);
}

absl::StatusOr<std::unique_ptr<FunctionConnection>> Restorer::Connect(Slot& slot, absl::Duration time_limit) {
  RETURN_IF_ERROR(dialer_.AwaitListener(slot.iofs_dir(), clock_.Now() + time_limit, [&slot] {
    const absl::StatusOr<InitStatus> status = slot.init().GetStatus(absl::Seconds(2));
    // An init that is slow to answer on a busy host says nothing about its function; the time limit ends that wait.
    if (absl::IsDeadlineExceeded(status.status())) return true;
    return status.ok() && status->state == InitStatus::State::kRunning;
  }));
  return dialer_.NewConnection(slot.iofs_dir());
}

absl::StatusOr<std::unique_ptr<FunctionConnection>> Restorer::Restore(Slot& slot, const v1::Manifest& manifest,
                                                                      const std::string& name,
                                                                      const std::string& instance_id, const Given& given,
                                                                      absl::Duration time_limit) {
  RestoreOrder order;
  order.dir = Paths::CracdataInside(name);
  order.stdout_pipe = manifest.stdout_pipe();
  order.stderr_pipe = manifest.stderr_pipe();
  order.resume_marker = manifest.resume_marker();
  order.uid = manifest.uid();
  order.gid = manifest.gid();
  order.instance_id = instance_id;
  order.meta = MakeInstanceMeta(slot.version_id(), manifest.info().invocations());
  order.time_limit = time_limit;
  order.given = given;
  const absl::StatusOr<int> pid = engines_.OfSnapshot(manifest.info().engine()).Restore(slot, order);
  if (!pid.ok()) {
    // By its directory: a canary's snapshot has no id yet.
    return WithReason(absl::Status(pid.status().code(),
                                   absl::StrCat("restoring snapshot ", name, " failed: ", pid.status().message())),
                      reason::kRestoreFailed);
  }
  if (!manifest.listener_link().empty()) {
    const std::string link = absl::StrCat(slot.iofs_dir(), "/lsnr.sock");
    if (symlink(manifest.listener_link().c_str(), link.c_str()) != 0 && errno != EEXIST) {
      return absl::InternalError(absl::StrCat("the link ", link, " can't be made: ", strerror(errno)));
    }
  }
  return Connect(slot, time_limit);
}

}  // namespace thaw::agent
