#ifndef THAW_SCHEDULER_CATALOGUE_CATALOGUE_H_
#define THAW_SCHEDULER_CATALOGUE_CATALOGUE_H_

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "common/clock/clock.h"
#include "scheduler/metrics.h"
#include "scheduler/store/store.h"
#include "thaw/common/v1/catalogue.pb.h"

namespace thaw::scheduler {

// What became of a function. Ids are empty where there was, or is, no version; equal where only the version's names,
// timeouts or policy changed.
struct FunctionChange {
  std::string function_id;
  std::string old_version_id;
  std::string new_version_id;
};

// Told of changes, after they are on the disk, in their order, on the writer's thread.
class CatalogueListener {
 public:
  virtual ~CatalogueListener() = default;
  virtual void OnFunctionsChanged(const std::vector<FunctionChange>& changes) = 0;
};

using VersionPtr = std::shared_ptr<const common::v1::VersionSpec>;

// Apps and functions, and the one version that each function runs.
//
// All of it is in memory; a change is written to the store first and takes effect here when the store has it, so that
// a reader never sees what a crash could undo.
//
// Threads: any. Readers never wait for the disk; writers wait for each other and for it, so they belong on the store's
// executor. The listener may read, not write.
class Catalogue {
 public:
  // None is owned; all must outlive the catalogue. Starts out with what `contents` holds.
  Catalogue(Store& store, const Clock& clock, SchedulerMetrics& metrics, const StoreContents& contents);

  // Set before the first write; null for none.
  void SetListener(CatalogueListener* listener) { listener_ = listener; }

  // Writers. Besides the failures of errors.h each may fail as Store::Apply; nothing has changed then.

  // ALREADY_EXISTS when the name is taken; INVALID_ARGUMENT as in validation.h.
  absl::StatusOr<common::v1::App> CreateApp(const common::v1::App& input) ABSL_LOCKS_EXCLUDED(write_mu_, mu_);
  // By id, or by name where there is no id. Makes new versions of all its functions when the config changes.
  absl::StatusOr<common::v1::App> UpdateApp(const common::v1::App& update) ABSL_LOCKS_EXCLUDED(write_mu_, mu_);
  // With its functions.
  absl::Status DeleteApp(absl::string_view id) ABSL_LOCKS_EXCLUDED(write_mu_, mu_);
  // NOT_FOUND for the app, ALREADY_EXISTS, INVALID_ARGUMENT.
  absl::StatusOr<common::v1::Function> CreateFunction(const common::v1::Function& input)
      ABSL_LOCKS_EXCLUDED(write_mu_, mu_);
  // By id, or by app_id (or app_name) and name where there is no id.
  absl::StatusOr<common::v1::Function> UpdateFunction(const common::v1::Function& update)
      ABSL_LOCKS_EXCLUDED(write_mu_, mu_);
  absl::Status DeleteFunction(absl::string_view id) ABSL_LOCKS_EXCLUDED(write_mu_, mu_);

  // Readers.

  // By id, or by name where `id` is empty. NOT_FOUND.
  absl::StatusOr<common::v1::App> GetApp(absl::string_view id, absl::string_view name) const ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<common::v1::ListAppsResponse> ListApps(const common::v1::ListAppsRequest& request) const
      ABSL_LOCKS_EXCLUDED(mu_);
  // By id, or by the two names where `id` is empty. NOT_FOUND.
  absl::StatusOr<common::v1::Function> GetFunction(absl::string_view id, absl::string_view app_name,
                                                   absl::string_view name) const ABSL_LOCKS_EXCLUDED(mu_);
  absl::StatusOr<common::v1::ListFunctionsResponse> ListFunctions(const common::v1::ListFunctionsRequest& request) const
      ABSL_LOCKS_EXCLUDED(mu_);

  // The version that calls of a function run now; `path` ("app/function") counts where `function_id` is empty.
  //
  //   INVALID_ARGUMENT     neither was given, or the path has no '/'
  //   NOT_FOUND            no such function
  //   FAILED_PRECONDITION  it has no image yet
  absl::StatusOr<VersionPtr> CurrentVersion(absl::string_view function_id, absl::string_view path) const
      ABSL_LOCKS_EXCLUDED(mu_);
  // A version that some function runs now; null for others.
  VersionPtr FindVersion(absl::string_view version_id) const ABSL_LOCKS_EXCLUDED(mu_);
  // What the version's function has now for its restore-time config keys (version.h); empty for others.
  std::map<std::string, std::string> RestoreTimeConfigOf(absl::string_view version_id) const ABSL_LOCKS_EXCLUDED(mu_);
  // All of those, by id.
  std::vector<VersionPtr> LiveVersions() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // By (name, id).
  using Order = std::map<std::pair<std::string, std::string>, const common::v1::Function*>;

  const common::v1::App* FindApp(absl::string_view id, absl::string_view name) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  const common::v1::Function* FindFunction(absl::string_view id, absl::string_view app_id, absl::string_view app_name,
                                           absl::string_view name) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  // Gives `function` the version that it has with `app`, adds what that changes to `batch`, and says what changed.
  // False in `changed` when neither calls nor restores would notice anything. The maps still hold what was before.
  FunctionChange Reversion(const common::v1::App& app, common::v1::Function& function, WriteBatch& batch,
                           std::vector<common::v1::VersionSpec>& specs, bool& changed) const;

  // Stores a new or changed function with its version, which is set, and tells the listeners.
  absl::Status Keep(const common::v1::App& app, common::v1::Function& function) ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mu_)
      ABSL_LOCKS_EXCLUDED(mu_);

  void Insert(const common::v1::App& app) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Insert(const common::v1::Function& function) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EraseFunction(const std::string& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void UpdateGauges() ABSL_SHARED_LOCKS_REQUIRED(mu_);
  void Tell(const std::vector<FunctionChange>& changes);

  Store& store_;
  const Clock& clock_;
  SchedulerMetrics& metrics_;
  CatalogueListener* listener_ = nullptr;

  // Puts writers in a row, from reading what is to be changed to telling of it; held over the store's write, and
  // never taken by a reader.
  absl::Mutex write_mu_ ABSL_ACQUIRED_BEFORE(mu_);
  mutable absl::Mutex mu_;
  absl::flat_hash_map<std::string, std::unique_ptr<common::v1::App>> apps_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::string, std::less<>> app_ids_by_name_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, std::unique_ptr<common::v1::Function>> functions_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, Order> functions_by_app_ ABSL_GUARDED_BY(mu_);
  Order functions_by_name_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, VersionPtr, std::less<>> versions_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_CATALOGUE_CATALOGUE_H_
