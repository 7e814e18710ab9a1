#include "scheduler/errors.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/status/reasons.h"

namespace thaw::scheduler::errors {
namespace {

// When memory may have become free: an idle instance ends, or a heartbeat says so.
constexpr absl::Duration kRoomRetry = absl::Seconds(1);
// When a write queue has moved on.
constexpr absl::Duration kQueueRetry = absl::Milliseconds(500);

}  // namespace

absl::Status InvalidField(absl::string_view field, absl::string_view problem) {
  return WithReason(absl::InvalidArgumentError(absl::StrCat(field, " ", problem)), reason::kInvalidField,
                    {{"field", std::string(field)}});
}

absl::Status AppNotFound(absl::string_view app) {
  return WithReason(
      absl::NotFoundError(absl::StrCat("app '", app, "' not found; `thaw apps list` shows those that are there")),
      reason::kAppNotFound, {{"app", std::string(app)}});
}

absl::Status FunctionNotFound(absl::string_view function) {
  return WithReason(absl::NotFoundError(absl::StrCat("function '", function,
                                                     "' not found; `thaw functions list` shows those that are there")),
                    reason::kFunctionNotFound, {{"function", std::string(function)}});
}

absl::Status VersionNotFound(absl::string_view version_id) {
  return WithReason(absl::NotFoundError(absl::StrCat("version ", version_id, " is not, or no longer, that of a function")),
                    reason::kFunctionNotFound, {{"version", std::string(version_id)}});
}

absl::Status SnapshotNotFound(absl::string_view snapshot_id) {
  return WithReason(absl::NotFoundError(absl::StrCat("snapshot '", snapshot_id,
                                                     "' not found; `thaw snapshot ls` shows those that are there")),
                    reason::kSnapshotNotFound, {{"snapshot", std::string(snapshot_id)}});
}

absl::Status SecretNotFound(absl::string_view name) {
  return WithReason(absl::NotFoundError(absl::StrCat("secret '", name,
                                                     "' not found; `thaw secret ls` shows those of an app")),
                    reason::kSecretNotFound, {{"secret", std::string(name)}});
}

absl::Status AppExists(absl::string_view name) {
  return WithReason(
      absl::AlreadyExistsError(absl::StrCat("app '", name, "' can't be created: the name is taken; update that app or "
                                                           "choose another name")),
      reason::kAlreadyExists, {{"app", std::string(name)}});
}

absl::Status FunctionExists(absl::string_view app_name, absl::string_view name) {
  return WithReason(
      absl::AlreadyExistsError(absl::StrCat("function '", name, "' can't be created in app '", app_name,
                                            "': the name is taken; update that function or choose another name")),
      reason::kAlreadyExists, {{"function", std::string(name)}});
}

absl::Status TooMany(absl::string_view what, std::size_t limit) {
  return WithRetryAfter(
      WithReason(absl::ResourceExhaustedError(absl::StrCat("the scheduler has ", limit, " ", what,
                                                           ", its limit; remove some or try again later")),
                 reason::kQueueFull),
      kQueueRetry);
}

absl::Status FunctionHasNoImage(absl::string_view function) {
  return WithReason(absl::FailedPreconditionError(
                        absl::StrCat("function '", function, "' can't be called: no image was pushed for it yet; run "
                                                             "`thaw deploy`, or update it with an image_id")),
                    reason::kImageUnavailable, {{"function", std::string(function)}});
}

absl::Status PinnedNodeUnknown(absl::string_view node_id) {
  return WithReason(absl::FailedPreconditionError(absl::StrCat("node '", node_id,
                                                               "' is not in the cluster; `thaw nodes` shows those that "
                                                               "are")),
                    reason::kNodeNotFound, {{"node", std::string(node_id)}});
}

absl::Status PinnedNodeNotReady(absl::string_view node_id, absl::string_view why) {
  return WithReason(absl::UnavailableError(absl::StrCat("node '", node_id, "' can't take the call: ", why,
                                                        "; wait for it or call without naming a node")),
                    reason::kNoNodeReady, {{"node", std::string(node_id)}});
}

absl::Status NoNodeReady(absl::string_view states) {
  if (states.empty()) {
    return WithReason(
        absl::UnavailableError("no node has joined the cluster; start an agent with --scheduler naming this scheduler"),
        reason::kNoNodeReady);
  }
  return WithReason(absl::UnavailableError(absl::StrCat("no node is ready: ", states, "; `thaw nodes` shows when one is")),
                    reason::kNoNodeReady);
}

absl::Status OnlyExcludedNodes(std::size_t excluded) {
  return WithReason(
      absl::UnavailableError(absl::StrCat("no other node is ready: the caller excluded ", excluded,
                                          excluded == 1 ? " node" : " nodes", "; try again without excluding")),
      reason::kNoNodeReady);
}

absl::Status NoRoom(absl::string_view function, std::uint32_t memory_mib, std::size_t ready_nodes) {
  return WithRetryAfter(
      WithReason(absl::ResourceExhaustedError(
                     absl::StrCat("no room for function '", function, "': none of ", ready_nodes,
                                  ready_nodes == 1 ? " ready node has " : " ready nodes has ", memory_mib,
                                  " MiB free; wait until instances end, add a node, or lower the function's memory")),
                 reason::kNoMemory, {{"function", std::string(function)}}),
      kRoomRetry);
}

absl::Status LargerThanAnyNode(absl::string_view function, std::uint32_t memory_mib) {
  return WithReason(absl::FailedPreconditionError(absl::StrCat("function '", function, "' can never run here: it needs ",
                                                               memory_mib,
                                                               " MiB, more than any ready node has in all; lower its "
                                                               "memory or add a larger node")),
                    reason::kNoMemory, {{"function", std::string(function)}});
}

absl::Status FunctionKeepsChanging(absl::string_view function) {
  return absl::AbortedError(
      absl::StrCat("function '", function, "' changed again while a lease of it was made; try again"));
}

absl::Status Stopping() { return absl::UnavailableError("the scheduler is stopping; connect again in a moment"); }

}  // namespace thaw::scheduler::errors
