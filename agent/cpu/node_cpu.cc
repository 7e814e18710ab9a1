#include "agent/cpu/node_cpu.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "agent/cpu/cpu_limits.h"

namespace thaw::agent {
namespace {

constexpr char kX86[] = "x86_64";

}  // namespace

common::v1::Node NodeCpu::AsNode(const std::string& node_id) const {
  common::v1::Node node;
  node.set_id(node_id);
  node.set_architecture(host.architecture);
  node.set_cpu_model(host.model);
  for (const std::string& feature : reported) node.add_cpu_features(feature);
  return node;
}

absl::StatusOr<NodeCpu> MakeNodeCpu(HostCpu host, absl::string_view told) {
  NodeCpu cpu;
  cpu.host = std::move(host);
  cpu.reported = cpu.host.features;
  CpuLevel level = CpuLevel::kNative;
  if (ParseCpuLevel(told, level)) {
    if (level == CpuLevel::kNative) return cpu;
    cpu.reported = FeaturesOfLevel(level);
  } else {
    const std::vector<std::string> words = absl::StrSplit(told, absl::ByAnyChar(", "), absl::SkipEmpty());
    cpu.reported = CpuFeatures(words.begin(), words.end());
    std::sort(cpu.reported.begin(), cpu.reported.end());
    cpu.reported.erase(std::unique(cpu.reported.begin(), cpu.reported.end()), cpu.reported.end());
  }
  const CpuFeatures missing = MissingFeatures(cpu.reported, cpu.host.features);
  if (!missing.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("--cpu-features claims what this ", cpu.host.architecture, " host's CPU has not: ",
                                                   absl::StrJoin(missing, ", "),
                                                   "; give `native`, x86-64-v1 to -v4, or some of the host's own features"));
  }
  if (cpu.host.architecture == kX86) cpu.limit = LevelOf(cpu.reported);
  return cpu;
}

CpuLevel EffectiveLevel(const NodeCpu& cpu, absl::string_view baseline) {
  CpuLevel level = CpuLevel::kNative;
  if (cpu.host.architecture != kX86 || !ParseCpuLevel(baseline, level)) return cpu.limit;
  return std::min(level, cpu.limit);
}

CpuFeatures FrozenFeatures(const NodeCpu& cpu, CpuLevel level, const std::vector<std::string>& argv) {
  if (level == CpuLevel::kNative) return cpu.host.features;
  CpuFeatures allowed = FeaturesOfLevel(level);
  for (std::string& feature : UnlimitedFeatures(argv)) allowed.push_back(std::move(feature));
  std::sort(allowed.begin(), allowed.end());
  allowed.erase(std::unique(allowed.begin(), allowed.end()), allowed.end());
  return CommonFeatures(allowed, cpu.host.features);
}

}  // namespace thaw::agent
