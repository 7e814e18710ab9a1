#include "scheduler/placement/placement.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/crypto/sha256.h"
#include "scheduler/errors.h"
#include "scheduler/placement/policy/least_loaded.h"
#include "scheduler/placement/policy/prefer_warm.h"
#include "scheduler/placement/policy/snapshot_fits.h"
#include "scheduler/placement/policy/snapshot_here.h"

namespace thaw::scheduler {
namespace {

bool IsReady(const Candidate& candidate) { return candidate.state == common::v1::NODE_STATE_READY; }

bool FitsAtAll(const PlacementRequest& request, const Candidate& candidate) {
  return candidate.memory_total_bytes == 0 || candidate.memory_total_bytes >= request.memory_bytes();
}

std::string StateOf(const Candidate& candidate) {
  return candidate.reason.empty() ? common::v1::NodeState_Name(candidate.state) : candidate.reason;
}

}  // namespace

bool HasRoom(const PlacementRequest& request, const Candidate& candidate) {
  // An instance takes more calls as they come.
  if (candidate.instances > 0) return true;
  if (candidate.memory_total_bytes == 0) return true;
  return candidate.memory_reserved_bytes + candidate.memory_promised_bytes + request.memory_bytes() <=
         candidate.memory_total_bytes + std::min(candidate.memory_idle_bytes, candidate.memory_reserved_bytes);
}

Placement Placement::Default(SchedulerMetrics& metrics) {
  std::vector<std::unique_ptr<PlacementPolicy>> policies;
  policies.push_back(std::make_unique<PreferWarm>());
  policies.push_back(std::make_unique<SnapshotFits>());
  policies.push_back(std::make_unique<SnapshotHere>());
  policies.push_back(std::make_unique<LeastLoaded>());
  return Placement(std::move(policies), metrics);
}

absl::StatusOr<const Candidate*> Placement::Choose(const PlacementRequest& request,
                                                   absl::Span<const Candidate> candidates) const {
  if (!request.pinned_node.empty()) return ChoosePinned(request, candidates);
  std::vector<const Candidate*> left;
  std::vector<std::string> not_ready;
  std::size_t excluded = 0;
  std::size_t ready = 0;
  bool fits_somewhere = false;
  for (const Candidate& candidate : candidates) {
    if (!IsReady(candidate)) {
      not_ready.push_back(absl::StrCat("node ", candidate.node_id, ": ", StateOf(candidate)));
      continue;
    }
    if (std::find(request.excluded_nodes.begin(), request.excluded_nodes.end(), candidate.node_id) !=
        request.excluded_nodes.end()) {
      ++excluded;
      continue;
    }
    ++ready;
    fits_somewhere = fits_somewhere || FitsAtAll(request, candidate);
    if (HasRoom(request, candidate)) left.push_back(&candidate);
  }
  if (left.empty()) {
    if (ready == 0) {
      metrics_.Placed(PlacementOutcome::kNoNode, PlacementReason::kNone);
      return excluded > 0 ? errors::OnlyExcludedNodes(excluded)
                          : errors::NoNodeReady(absl::StrJoin(not_ready, "; "));
    }
    if (!fits_somewhere && excluded == 0) {
      metrics_.Placed(PlacementOutcome::kTooLarge, PlacementReason::kNone);
      return errors::LargerThanAnyNode(request.function, request.memory_mib);
    }
    metrics_.Placed(PlacementOutcome::kNoRoom, PlacementReason::kNone);
    return errors::NoRoom(request.function, request.memory_mib, ready);
  }

  PlacementReason decided = PlacementReason::kOnly;
  for (const auto& policy : policies_) {
    if (left.size() == 1) break;
    std::vector<const Candidate*> best;
    double best_score = 0;
    for (const Candidate* candidate : left) {
      const double score = policy->Score(request, *candidate);
      if (best.empty() || score > best_score) {
        best.assign(1, candidate);
        best_score = score;
      } else if (score == best_score) {
        best.push_back(candidate);
      }
    }
    if (best.size() < left.size() && decided == PlacementReason::kOnly) decided = policy->reason();
    left = std::move(best);
  }
  const Candidate* chosen = left.front();
  if (left.size() > 1) {
    std::string chosen_hash;
    for (const Candidate* candidate : left) {
      std::string hash = Sha256Hex(absl::StrCat(request.version_id, "/", candidate->node_id));
      if (hash <= chosen_hash) continue;
      chosen = candidate;
      chosen_hash = std::move(hash);
    }
  }
  metrics_.Placed(PlacementOutcome::kPlaced, decided);
  return chosen;
}

absl::StatusOr<const Candidate*> Placement::ChoosePinned(const PlacementRequest& request,
                                                         absl::Span<const Candidate> candidates) const {
  const auto failed = [this](PlacementOutcome outcome, absl::Status status) {
    metrics_.Placed(outcome, PlacementReason::kPinned);
    return status;
  };
  const auto it = std::find_if(candidates.begin(), candidates.end(),
                               [&](const Candidate& candidate) { return candidate.node_id == request.pinned_node; });
  if (it == candidates.end()) return failed(PlacementOutcome::kNoNode, errors::PinnedNodeUnknown(request.pinned_node));
  if (!IsReady(*it)) {
    return failed(PlacementOutcome::kNoNode, errors::PinnedNodeNotReady(request.pinned_node, StateOf(*it)));
  }
  if (std::find(request.excluded_nodes.begin(), request.excluded_nodes.end(), request.pinned_node) !=
      request.excluded_nodes.end()) {
    return failed(PlacementOutcome::kNoNode,
                  errors::PinnedNodeNotReady(request.pinned_node, "the caller named it and excluded it"));
  }
  if (!FitsAtAll(request, *it)) {
    return failed(PlacementOutcome::kTooLarge, errors::LargerThanAnyNode(request.function, request.memory_mib));
  }
  if (!HasRoom(request, *it)) {
    return failed(PlacementOutcome::kNoRoom, errors::NoRoom(request.function, request.memory_mib, 1));
  }
  metrics_.Placed(PlacementOutcome::kPlaced, PlacementReason::kPinned);
  return &*it;
}

}  // namespace thaw::scheduler
