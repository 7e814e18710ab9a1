#include "scheduler/lease/lease_issuer.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/cpu/fit.h"
#include "common/rpc/client.h"
#include "common/status/status_macros.h"
#include "scheduler/errors.h"
#include "scheduler/lease/lease_id.h"
#include "scheduler/limits.h"

namespace thaw::scheduler {
namespace {

// A function that changes in between makes a lease worthless before it is given; more changes than this are no chance.
constexpr int kMaxAttempts = 5;

}  // namespace

absl::Status CheckGatewayId(const std::string& gateway_id) {
  if (!gateway_id.empty() && gateway_id.size() <= limits::kMaxGatewayIdBytes) return absl::OkStatus();
  return errors::InvalidField("gateway_id", absl::StrCat("has ", gateway_id.size(), " bytes; send 1 to ",
                                                         limits::kMaxGatewayIdBytes));
}

std::uint32_t ConcurrencyOf(const Candidate& node, const common::v1::VersionSpec& version) {
  std::uint64_t calls = std::uint64_t{2} * node.cpus;
  if (node.memory_total_bytes > 0 && version.memory_mib() > 0) {
    calls = std::min(calls, node.memory_total_bytes / (std::uint64_t{version.memory_mib()} << 20));
  }
  return static_cast<std::uint32_t>(std::max<std::uint64_t>(calls, 1));
}

LeaseIssuer::LeaseIssuer(Deps deps) : deps_(deps) { deps_.cluster.SetListener(this); }

absl::StatusOr<v1::Lease> LeaseIssuer::Acquire(const v1::AcquireLeaseRequest& request) {
  RETURN_IF_ERROR(CheckGatewayId(request.gateway_id()));
  PlacementRequest placement;
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    ASSIGN_OR_RETURN(const VersionPtr version,
                     deps_.catalogue.CurrentVersion(request.function_id(), request.function_path()));
    placement.function = absl::StrCat(version->app_name(), "/", version->function_name());
    placement.version_id = version->version_id();
    placement.memory_mib = version->memory_mib();
    placement.excluded_nodes.assign(request.excluded_nodes().begin(), request.excluded_nodes().end());
    placement.pinned_node = request.pinned_node();
    const std::vector<Candidate> candidates = Candidates(*version);
    ASSIGN_OR_RETURN(const Candidate* const node, deps_.placement.Choose(placement, candidates));
    ASSIGN_OR_RETURN(const std::string lease_id,
                     deps_.leases.Grant(request.gateway_id(), *version, node->node_id));
    // What changed before the lease was in the table could not end it there.
    if (deps_.catalogue.FindVersion(version->version_id()) != version) {
      deps_.leases.Withdraw(lease_id, LeaseEnd::kFunctionChanged);
      continue;
    }
    if (deps_.nodes.StateOf(node->node_id) == common::v1::NODE_STATE_LOST) {
      deps_.leases.Withdraw(lease_id, LeaseEnd::kNodeLost);
      continue;
    }
    v1::Lease lease;
    lease.set_lease_id(lease_id);
    *lease.mutable_version() = *version;
    // Agents' business, and up to a megabyte of it.
    if (version->has_freeze()) {
      lease.mutable_version()->mutable_freeze()->clear_priming();
      lease.mutable_version()->mutable_freeze()->clear_canary();
    }
    lease.set_node_id(node->node_id);
    lease.set_node_address(node->address);
    *lease.mutable_time_to_live() = ToProto(deps_.leases.time_to_live());
    lease.set_concurrency(ConcurrencyOf(*node, *version));
    return lease;
  }
  return errors::FunctionKeepsChanging(placement.function);
}

absl::StatusOr<v1::RenewLeasesResponse> LeaseIssuer::Renew(const v1::RenewLeasesRequest& request) {
  RETURN_IF_ERROR(CheckGatewayId(request.gateway_id()));
  if (static_cast<std::size_t>(request.lease_ids_size()) > limits::kMaxLeasesPerRequest) {
    return errors::InvalidField("lease_ids", absl::StrCat("are ", request.lease_ids_size(), "; send at most ",
                                                          limits::kMaxLeasesPerRequest, " at once"));
  }
  v1::RenewLeasesResponse response;
  *response.mutable_time_to_live() = ToProto(deps_.leases.time_to_live());
  for (const auto& lease_id : request.lease_ids()) {
    const LeaseTable::Renewal renewal = deps_.leases.Renew(request.gateway_id(), lease_id);
    if (renewal == LeaseTable::Renewal::kEnded) continue;
    if (renewal == LeaseTable::Renewal::kForeign) {
      const auto id = LeaseId::Parse(lease_id);
      const VersionPtr version = deps_.catalogue.FindVersion(id->version_id);
      if (version == nullptr) continue;
      const common::v1::NodeState state = deps_.nodes.StateOf(id->node_id);
      if (state == common::v1::NODE_STATE_UNSPECIFIED || state == common::v1::NODE_STATE_LOST) continue;
      ASSIGN_OR_RETURN(const LeaseTable::Renewal adopted,
                       deps_.leases.Adopt(request.gateway_id(), lease_id, *version, id->node_id));
      if (adopted == LeaseTable::Renewal::kEnded) continue;
      // As in Acquire().
      if (deps_.catalogue.FindVersion(version->version_id()) != version) {
        deps_.leases.Withdraw(lease_id, LeaseEnd::kFunctionChanged);
        continue;
      }
      if (deps_.nodes.StateOf(id->node_id) == common::v1::NODE_STATE_LOST) {
        deps_.leases.Withdraw(lease_id, LeaseEnd::kNodeLost);
        continue;
      }
    }
    response.add_lease_ids(lease_id);
  }
  return response;
}

absl::Status LeaseIssuer::Release(const v1::ReleaseLeasesRequest& request) {
  RETURN_IF_ERROR(CheckGatewayId(request.gateway_id()));
  deps_.leases.Release(request.gateway_id(), {request.lease_ids().begin(), request.lease_ids().end()});
  return absl::OkStatus();
}

void LeaseIssuer::OnNodeLost(const std::string& node_id) { deps_.leases.EndOfNode(node_id); }

void LeaseIssuer::OnFunctionsChanged(const std::vector<std::string>& function_ids) {
  deps_.leases.EndOfFunctions(function_ids);
}

std::vector<Candidate> LeaseIssuer::Candidates(const common::v1::VersionSpec& version) const {
  const auto snapshot = deps_.cluster.UsableSnapshot(version);
  const auto leases = deps_.leases.ByNode();
  std::vector<Candidate> candidates;
  deps_.nodes.ForEach([&](const NodeTable::Entry& entry) {
    const common::v1::Node& node = entry.node;
    Candidate& candidate = candidates.emplace_back();
    candidate.node_id = node.id();
    candidate.address = node.address();
    candidate.state = node.state();
    candidate.reason = node.reason();
    candidate.cpus = node.cpus();
    candidate.memory_total_bytes = node.memory_total_bytes();
    candidate.memory_reserved_bytes = node.memory_reserved_bytes();
    candidate.all_busy_instances = node.busy_instances();
    for (const auto& [version_id, load] : entry.loads) {
      candidate.all_waiting_calls += load.waiting_calls();
      if (version_id == version.version_id() || load.instances() <= load.busy()) continue;
      const VersionPtr other = deps_.catalogue.FindVersion(version_id);
      if (other == nullptr) continue;
      candidate.memory_idle_bytes += (std::uint64_t{other->memory_mib()} << 20) * (load.instances() - load.busy());
    }
    if (const auto it = entry.loads.find(version.version_id()); it != entry.loads.end()) {
      candidate.instances = it->second.instances();
      candidate.busy_instances = it->second.busy();
    }
    if (const auto it = leases.find(node.id()); it != leases.end()) {
      candidate.leases = it->second.leases;
      for (const auto& [version_id, leased] : it->second.versions) {
        const auto load = entry.loads.find(version_id);
        const bool there = load != entry.loads.end() && load->second.instances() > 0;
        // What this version's own lease was promised is there for this request, too.
        if (!there && version_id != version.version_id()) candidate.memory_promised_bytes += leased.memory_bytes;
      }
    }
    candidate.holds_snapshot = snapshot.has_value() && std::find(snapshot->holders().begin(), snapshot->holders().end(),
                                                                 node.id()) != snapshot->holders().end();
    candidate.unfit_for_snapshot = snapshot.has_value() && !CheckCpuFits(*snapshot, node).ok();
  });
  return candidates;
}

}  // namespace thaw::scheduler
