#ifndef THAW_SCHEDULER_CATALOGUE_VALIDATION_H_
#define THAW_SCHEDULER_CATALOGUE_VALIDATION_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "thaw/common/v1/catalogue.pb.h"

// The rules for what clients write into the catalogue: those of Fn, with gRPC's codes. Every failure is
// INVALID_ARGUMENT with reason INVALID_FIELD and the field's name in the metadata.
//
// Maps merge: a value of "" (for annotations also the JSON texts `""` and `null`) deletes its key, on creation as on
// update; absent keys stay. Annotations that answers are decorated with are dropped when a client sends them back.
namespace thaw::scheduler {

// The annotation, on answers only, with the last error of freezing the function's version: a JSON string.
inline constexpr char kCheckpointErrorAnnotation[] = "thaw/checkpoint-error";

// A new app as it will be kept: `input` checked, less what the server assigns.
absl::StatusOr<common::v1::App> NewApp(const common::v1::App& input);
// `current` with `update` merged into it. Another name is an error: names are immutable.
absl::StatusOr<common::v1::App> MergeApp(const common::v1::App& current, const common::v1::App& update);

// A new function as it will be kept, defaults filled in; `app_id` is not checked.
absl::StatusOr<common::v1::Function> NewFunction(const common::v1::Function& input);
// `current` with `update` merged into it: zero, empty and unset fields stay as they are, name and app are ignored.
// `freeze` replaces what was there, whole.
// A new `image` without an `image_id` leaves the function without one: the old id is not that of the new image.
absl::StatusOr<common::v1::Function> MergeFunction(const common::v1::Function& current,
                                                   const common::v1::Function& update);

// A snapshot as a node reports it: ids in form, text fields bounded.
absl::Status CheckReportedSnapshot(const common::v1::SnapshotInfo& snapshot);

// True for 32 lower-case hex digits.
bool IsDigestId(absl::string_view id);

// True for what can be a secret's name, which is also a file's: letters, digits, `_`, `-` and `.`.
bool IsSecretName(absl::string_view name);

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_CATALOGUE_VALIDATION_H_
