#include "cli/deploy/await_snapshot.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/status/status_macros.h"

namespace thaw::cli {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(300);
// On answers only: the last error of freezing the function's version, a JSON string.
constexpr char kErrorAnnotation[] = "thaw/checkpoint-error";

}  // namespace

absl::Status AwaitSnapshot(GatewayClient& client, const commonpb::Function& function, absl::Duration limit,
                           const Clock& clock, Interrupt& interrupt, Progress& progress) {
  const absl::Time end = clock.Now() + limit;
  progress.Start("freezing it before the first call");
  while (true) {
    ASSIGN_OR_RETURN(const auto snapshots, client.ListSnapshots(function.id()));
    const bool there = std::any_of(snapshots.begin(), snapshots.end(), [&](const auto& snapshot) {
      return snapshot.version_id() == function.version_id();
    });
    if (there) {
      progress.Done("");
      return absl::OkStatus();
    }
    commonpb::GetFunctionRequest request;
    request.set_id(function.id());
    ASSIGN_OR_RETURN(const auto now, client.GetFunction(request));
    if (const auto error = now.annotations().find(kErrorAnnotation); error != now.annotations().end()) {
      progress.Failed("");
      return absl::FailedPreconditionError(absl::StrCat("freezing failed: ", error->second,
                                                        "; it is tried again, and calls start cold until it works"));
    }
    if (clock.Now() >= end) {
      progress.Failed("");
      return absl::DeadlineExceededError(absl::StrCat("there is no snapshot after ", absl::FormatDuration(limit),
                                                      "; calls start cold until there is (`thaw snapshot ls`)"));
    }
    if (!interrupt.Sleep(kPoll)) return absl::CancelledError("interrupted");
  }
}

}  // namespace thaw::cli
