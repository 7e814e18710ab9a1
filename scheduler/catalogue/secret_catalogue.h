#ifndef THAW_SCHEDULER_CATALOGUE_SECRET_CATALOGUE_H_
#define THAW_SCHEDULER_CATALOGUE_SECRET_CATALOGUE_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "scheduler/store/sealing_key.h"
#include "scheduler/store/store.h"
#include "thaw/common/v1/freezing.pb.h"

namespace thaw::scheduler {

// The apps' secrets. In the store they lie sealed; their values are for agents only, and no method that serves clients
// gives one out.
//
// Threads: any; writers belong on the store's executor.
class SecretCatalogue {
 public:
  // Neither is owned. Starts out with what `contents` holds; UnreadableNames() are those that `key` does not open.
  SecretCatalogue(Store& store, const Clock& clock, SealingKey key, const StoreContents& contents);

  // Writers. Besides their own failures each may fail as Store::Apply; nothing has changed then.

  // Makes the secret, or gives it another value. The caller knows that the app is there.
  //
  //   INVALID_ARGUMENT    the name is not one, the value is empty or too long
  //   RESOURCE_EXHAUSTED  the app has too many secrets, or too many bytes of them
  absl::StatusOr<common::v1::Secret> Set(const common::v1::SetSecretRequest& request) ABSL_LOCKS_EXCLUDED(mu_);
  // NOT_FOUND.
  absl::Status Delete(absl::string_view app_id, absl::string_view name) ABSL_LOCKS_EXCLUDED(mu_);
  // Secrets of an app that is gone.
  absl::Status DropApp(absl::string_view app_id) ABSL_LOCKS_EXCLUDED(mu_);
  // Those of apps that are not in `app_ids`: a crash can leave them behind.
  absl::Status DropAllBut(const std::set<std::string>& app_ids) ABSL_LOCKS_EXCLUDED(mu_);

  // By name.
  std::vector<common::v1::Secret> List(absl::string_view app_id) const ABSL_LOCKS_EXCLUDED(mu_);
  // The value; nothing when there is none, or none that can be read.
  std::optional<std::string> Value(absl::string_view app_id, absl::string_view name) const ABSL_LOCKS_EXCLUDED(mu_);
  // `<app id>/<name>` of secrets that were sealed with another key: they are as if never set, but stay listed until
  // they are set again.
  std::vector<std::string> UnreadableNames() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Entry {
    std::optional<std::string> value;
    absl::Time updated_at;
    std::uint32_t size_bytes = 0;
  };
  using Secrets = std::map<std::string, Entry, std::less<>>;

  absl::Status Drop(const std::vector<std::string>& app_ids) ABSL_LOCKS_EXCLUDED(mu_);

  Store& store_;
  const Clock& clock_;
  const SealingKey key_;
  mutable absl::Mutex mu_;
  std::map<std::string, Secrets, std::less<>> by_app_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_CATALOGUE_SECRET_CATALOGUE_H_
