#ifndef THAW_GATEWAY_ROUTING_SCHEDULER_CLIENT_H_
#define THAW_GATEWAY_ROUTING_SCHEDULER_CLIENT_H_

#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/routing/lease.h"

namespace thaw::gateway {

// The scheduler, as the lease table needs it.
//
// Callbacks come on any thread, each once, maybe before the method has returned. Threads: any.
class SchedulerClient {
 public:
  struct AcquireRequest {
    FunctionName function;
    std::vector<std::string> excluded_nodes;
    // Empty for any.
    std::string pinned_node;
  };
  struct Renewal {
    // The others that were asked for have ended.
    std::vector<std::string> lease_ids;
    absl::Duration time_to_live;
  };
  struct Events {
    std::vector<std::string> ended_lease_ids;
    std::vector<std::string> changed_function_ids;
  };

  virtual ~SchedulerClient() = default;

  //   NOT_FOUND            no such function
  //   FAILED_PRECONDITION  it has no image, or the pinned node is not in the cluster
  //   RESOURCE_EXHAUSTED   no node has room
  //   UNAVAILABLE          no node is ready, or (reason SCHEDULER_UNAVAILABLE) no scheduler answers within `limit`
  virtual void AcquireLease(const AcquireRequest& request, absl::Duration limit,
                            absl::AnyInvocable<void(absl::StatusOr<Lease>)> done) = 0;
  virtual void RenewLeases(const std::vector<std::string>& lease_ids, absl::Duration limit,
                           absl::AnyInvocable<void(absl::StatusOr<Renewal>)> done) = 0;
  virtual void ReleaseLeases(const std::vector<std::string>& lease_ids, absl::Duration limit,
                             absl::AnyInvocable<void(absl::Status)> done) = 0;
  // `on_events` with nothing in it confirms the subscription; `on_end` comes once and last.
  virtual void WatchLeases(absl::AnyInvocable<void(Events)> on_events,
                           absl::AnyInvocable<void(absl::Status)> on_end) = 0;
};

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_ROUTING_SCHEDULER_CLIENT_H_
