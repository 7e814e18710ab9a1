#include "agent/checkpoint/diagnosis_log.h"

#include <algorithm>
#include <utility>

namespace thaw::agent {

void DiagnosisLog::Add(const std::string& version_id, thaw::common::v1::Diagnosis diagnosis) {
  absl::MutexLock lock(&mu_);
  Entry& entry = versions_[version_id];
  entry.last = next_++;
  entry.diagnoses.push_front(std::move(diagnosis));
  if (entry.diagnoses.size() > options_.per_version) entry.diagnoses.pop_back();
  if (versions_.size() <= options_.versions) return;
  versions_.erase(std::min_element(versions_.begin(), versions_.end(),
                                   [](const auto& a, const auto& b) { return a.second.last < b.second.last; }));
}

std::vector<thaw::common::v1::Diagnosis> DiagnosisLog::Get(const std::string& version_id) const {
  absl::MutexLock lock(&mu_);
  const auto it = versions_.find(version_id);
  if (it == versions_.end()) return {};
  return {it->second.diagnoses.begin(), it->second.diagnoses.end()};
}

}  // namespace thaw::agent
