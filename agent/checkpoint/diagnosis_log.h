#ifndef THAW_AGENT_CHECKPOINT_DIAGNOSIS_LOG_H_
#define THAW_AGENT_CHECKPOINT_DIAGNOSIS_LOG_H_

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "thaw/common/v1/freezing.pb.h"

namespace thaw::agent {

// The last diagnoses of each version on this node, in memory. Bounded: the oldest of a version go first, and so do the
// versions that were diagnosed longest ago. Threads: any.
class DiagnosisLog {
 public:
  struct Options {
    std::size_t per_version = 10;
    std::size_t versions = 500;
  };
  DiagnosisLog() : DiagnosisLog(Options()) {}
  explicit DiagnosisLog(const Options& options) : options_(options) {}

  void Add(const std::string& version_id, thaw::common::v1::Diagnosis diagnosis) ABSL_LOCKS_EXCLUDED(mu_);
  // The newest first; empty when nothing is known.
  std::vector<thaw::common::v1::Diagnosis> Get(const std::string& version_id) const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Entry {
    std::uint64_t last = 0;
    std::deque<thaw::common::v1::Diagnosis> diagnoses;  // the newest first
  };
  const Options options_;
  mutable absl::Mutex mu_;
  std::uint64_t next_ ABSL_GUARDED_BY(mu_) = 1;
  absl::flat_hash_map<std::string, Entry> versions_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_CHECKPOINT_DIAGNOSIS_LOG_H_
