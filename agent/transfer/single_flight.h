#ifndef THAW_AGENT_TRANSFER_SINGLE_FLIGHT_H_
#define THAW_AGENT_TRANSFER_SINGLE_FLIGHT_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace thaw::agent {

// Lets only one of several concurrent callers do the work for a key; the others wait and get its result. Threads: any.
template <typename Result>
class SingleFlight {
 public:
  // `work` blocks; it runs on the caller's thread. A caller whose `deadline` passes while it waits gets
  // DEADLINE_EXCEEDED. Who waited for one whose own, earlier deadline passed does the work itself.
  absl::StatusOr<Result> Do(const std::string& key, absl::Time deadline,
                            absl::FunctionRef<absl::StatusOr<Result>()> work) ABSL_LOCKS_EXCLUDED(mu_) {
    while (true) {
      std::shared_ptr<Flight> flight;
      {
        absl::MutexLock lock(&mu_);
        std::shared_ptr<Flight>& entry = flights_[key];
        if (entry != nullptr) {
          flight = entry;
          if (!mu_.AwaitWithDeadline(absl::Condition(&flight->done), deadline)) {
            return absl::DeadlineExceededError(
                absl::StrCat("out of time while waiting for another fetch of ", key));
          }
          if (absl::IsDeadlineExceeded(flight->result.status()) && absl::Now() < deadline) continue;
          return flight->result;
        }
        flight = entry = std::make_shared<Flight>();
      }
      absl::StatusOr<Result> result = work();
      absl::MutexLock lock(&mu_);
      flight->result = result;
      flight->done = true;
      flights_.erase(key);
      return result;
    }
  }

 private:
  struct Flight {
    bool done = false;
    absl::StatusOr<Result> result = absl::UnknownError("not done");
  };

  absl::Mutex mu_;
  absl::flat_hash_map<std::string, std::shared_ptr<Flight>> flights_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_TRANSFER_SINGLE_FLIGHT_H_
