#ifndef THAW_SCHEDULER_ERRORS_H_
#define THAW_SCHEDULER_ERRORS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

// The failures that users and other services see: one function each. Reasons are those of common/status/reasons.h;
// the metadata entry named in each comment lets a program do without the text.
namespace thaw::scheduler::errors {

// INVALID_ARGUMENT, INVALID_FIELD, `field`. `problem` completes "<field> <problem>".
absl::Status InvalidField(absl::string_view field, absl::string_view problem);

// NOT_FOUND, APP_NOT_FOUND, `app`.
absl::Status AppNotFound(absl::string_view app);
// NOT_FOUND, FUNCTION_NOT_FOUND, `function`.
absl::Status FunctionNotFound(absl::string_view function);
// NOT_FOUND, FUNCTION_NOT_FOUND, `version`.
absl::Status VersionNotFound(absl::string_view version_id);
// NOT_FOUND, SNAPSHOT_NOT_FOUND, `snapshot`.
absl::Status SnapshotNotFound(absl::string_view snapshot_id);
// NOT_FOUND, SECRET_NOT_FOUND, `secret`.
absl::Status SecretNotFound(absl::string_view name);
// ALREADY_EXISTS, ALREADY_EXISTS, `app`.
absl::Status AppExists(absl::string_view name);
// ALREADY_EXISTS, ALREADY_EXISTS, `function`.
absl::Status FunctionExists(absl::string_view app_name, absl::string_view name);
// RESOURCE_EXHAUSTED, QUEUE_FULL. `what` in the plural.
absl::Status TooMany(absl::string_view what, std::size_t limit);

// FAILED_PRECONDITION, IMAGE_UNAVAILABLE, `function`: the function was made without an image id.
absl::Status FunctionHasNoImage(absl::string_view function);

// FAILED_PRECONDITION, NODE_NOT_FOUND, `node`.
absl::Status PinnedNodeUnknown(absl::string_view node_id);
// UNAVAILABLE, NO_NODE_READY, `node`. `why` as in Node.reason.
absl::Status PinnedNodeNotReady(absl::string_view node_id, absl::string_view why);
// UNAVAILABLE, NO_NODE_READY. `states` says what each node lacks; empty when there is no node at all.
absl::Status NoNodeReady(absl::string_view states);
// UNAVAILABLE, NO_NODE_READY: those that are ready were excluded by the caller.
absl::Status OnlyExcludedNodes(std::size_t excluded);
// RESOURCE_EXHAUSTED, NO_MEMORY, with a time to come again.
absl::Status NoRoom(absl::string_view function, std::uint32_t memory_mib, std::size_t ready_nodes);
// FAILED_PRECONDITION, NO_MEMORY: the function is larger than any node of the cluster.
absl::Status LargerThanAnyNode(absl::string_view function, std::uint32_t memory_mib);
// ABORTED: the function changed again and again while a lease was made.
absl::Status FunctionKeepsChanging(absl::string_view function);

// UNAVAILABLE: the scheduler is stopping.
absl::Status Stopping();

}  // namespace thaw::scheduler::errors

#endif  // THAW_SCHEDULER_ERRORS_H_
