#include "common/cpu/fit.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/cpu/features.h"
#include "common/status/reasons.h"

namespace thaw {
namespace {

// Of a snapshot of AVX-512 some twenty are missing on an old host: enough of them to see what it is about.
constexpr std::size_t kNamedFeatures = 6;

std::string Named(const CpuFeatures& features) {
  if (features.size() <= kNamedFeatures) return absl::StrJoin(features, ", ");
  return absl::StrCat(absl::StrJoin(features.begin(), features.begin() + kNamedFeatures, ", "), " and ",
                      features.size() - kNamedFeatures, " more");
}

}  // namespace

absl::Status CheckCpuFits(const common::v1::SnapshotInfo& snapshot, const common::v1::Node& node) {
  if (!snapshot.architecture().empty() && !node.architecture().empty() &&
      snapshot.architecture() != node.architecture()) {
    return WithReason(
        absl::FailedPreconditionError(absl::StrCat("snapshot ", snapshot.id(), " is of a process for ", snapshot.architecture(),
                                                   " and node ", node.id(), " is ", node.architecture(),
                                                   "; give the function's image only to nodes of one architecture")),
        reason::kCpuUnfit);
  }
  if (snapshot.cpu_features_size() == 0 || node.cpu_features_size() == 0) return absl::OkStatus();
  const CpuFeatures present(node.cpu_features().begin(), node.cpu_features().end());
  const CpuFeatures missing =
      MissingFeatures(CpuFeatures(snapshot.cpu_features().begin(), snapshot.cpu_features().end()), present);
  if (missing.empty()) return absl::OkStatus();
  std::string remedy = "the node can have no snapshot of it";
  if (node.architecture() == "x86_64") {
    remedy = absl::StrCat("set the function's --cpu-baseline to ", CpuLevelName(LevelOf(present)),
                          " to get one that fits (docs/cpu.md)");
  }
  return WithReason(absl::FailedPreconditionError(
                        absl::StrCat("snapshot ", snapshot.id(), " relies on CPU features that node ", node.id(),
                                     " lacks: ", Named(missing), "; ", remedy)),
                    reason::kCpuUnfit);
}

}  // namespace thaw
