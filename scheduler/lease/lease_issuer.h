#ifndef THAW_SCHEDULER_LEASE_LEASE_ISSUER_H_
#define THAW_SCHEDULER_LEASE_LEASE_ISSUER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "scheduler/catalogue/catalogue.h"
#include "scheduler/lease/lease_table.h"
#include "scheduler/membership/cluster.h"
#include "scheduler/membership/node_table.h"
#include "scheduler/placement/placement.h"
#include "thaw/scheduler/v1/scheduler.pb.h"

namespace thaw::scheduler {

// Hands out leases, and ends them with what they were given on.
//
// After a restart the lease table is empty while gateways go on with what they hold. A renewal takes such a lease over
// when its version is still the function's and its node is in the cluster: that is, it has registered again, or may
// still do so (NodeTable starts with the nodes of before as suspects). So a restart ends no lease by itself.
//
// Threads: any; nothing here waits for the disk.
class LeaseIssuer final : public ClusterListener {
 public:
  // Nothing is owned; all must outlive the issuer. Becomes the cluster's listener.
  struct Deps {
    Catalogue& catalogue;
    NodeTable& nodes;
    Cluster& cluster;
    LeaseTable& leases;
    const Placement& placement;
  };
  explicit LeaseIssuer(Deps deps);

  // INVALID_ARGUMENT for a gateway or function that is not named; ABORTED when the function keeps changing; else as
  // Catalogue::CurrentVersion, Placement::Choose and LeaseTable::Grant.
  absl::StatusOr<v1::Lease> Acquire(const v1::AcquireLeaseRequest& request);
  absl::StatusOr<v1::RenewLeasesResponse> Renew(const v1::RenewLeasesRequest& request);
  absl::Status Release(const v1::ReleaseLeasesRequest& request);

  // ClusterListener.
  void OnNodeLost(const std::string& node_id) override;
  void OnFunctionsChanged(const std::vector<std::string>& function_ids) override;

 private:
  std::vector<Candidate> Candidates(const common::v1::VersionSpec& version) const;

  const Deps deps_;
};

// INVALID_ARGUMENT for an id that is empty or too long.
absl::Status CheckGatewayId(const std::string& gateway_id);

// How many calls of a version a node can run at once: two per CPU, as far as its memory goes, and at least one.
std::uint32_t ConcurrencyOf(const Candidate& node, const common::v1::VersionSpec& version);

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_LEASE_LEASE_ISSUER_H_
