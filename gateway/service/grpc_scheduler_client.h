#ifndef THAW_GATEWAY_SERVICE_GRPC_SCHEDULER_CLIENT_H_
#define THAW_GATEWAY_SERVICE_GRPC_SCHEDULER_CLIENT_H_

#include <memory>
#include <string>
#include <vector>

#include "common/rpc/client.h"
#include "gateway/routing/scheduler_client.h"

namespace thaw::gateway {

// The scheduler over gRPC. A failure that is the connection's, not the scheduler's word, has the reason
// SCHEDULER_UNAVAILABLE. Threads: any.
class GrpcSchedulerClient final : public SchedulerClient {
 public:
  // `channels` must outlive it. `gateway_id` is unique to this process.
  GrpcSchedulerClient(ChannelPool& channels, std::string address, std::string gateway_id);
  // Ends what is under way and waits for its callbacks.
  ~GrpcSchedulerClient() override;

  void AcquireLease(const AcquireRequest& request, absl::Duration limit,
                    absl::AnyInvocable<void(absl::StatusOr<Lease>)> done) override;
  void RenewLeases(const std::vector<std::string>& lease_ids, absl::Duration limit,
                   absl::AnyInvocable<void(absl::StatusOr<Renewal>)> done) override;
  void ReleaseLeases(const std::vector<std::string>& lease_ids, absl::Duration limit,
                     absl::AnyInvocable<void(absl::Status)> done) override;
  void WatchLeases(absl::AnyInvocable<void(Events)> on_events, absl::AnyInvocable<void(absl::Status)> on_end) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_SERVICE_GRPC_SCHEDULER_CLIENT_H_
