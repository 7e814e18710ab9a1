#ifndef THAW_AGENT_CHECKPOINT_EXPLAINER_H_
#define THAW_AGENT_CHECKPOINT_EXPLAINER_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/checkpoint/diagnosis_log.h"
#include "agent/instance/slot_init.h"
#include "common/clock/clock.h"

namespace thaw::agent {

// Answers what is known of a version's freezing on this node. Threads: any; Explain() blocks, at most `look_limit` for
// each instance that it looks at.
class Explainer {
 public:
  struct Options {
    std::string node_id;
    absl::Duration look_limit = absl::Seconds(2);
    // More would say the same again.
    std::size_t most_looks = 3;
  };
  // A version that this node runs: its slots' control directories, those of empty ones too.
  struct Version {
    thaw::common::v1::FreezeSettings freeze;
    std::vector<std::string> ctl_dirs;
  };
  struct Deps {
    // Nothing when the version is not known here.
    std::function<std::optional<Version>(const std::string& version_id)> find;
    // Connections of its own: an instance's slot may go at any moment, and a dead connection is only an answer less.
    SlotInitConnector& connector;
    const DiagnosisLog& diagnoses;
    const Clock& clock;
  };
  Explainer(const Options& options, const Deps& deps) : options_(options), deps_(deps) {}

  // Looks at instances that run now, then the log; the newest first. NOT_FOUND when this node has never run the version.
  absl::StatusOr<std::vector<thaw::common::v1::Diagnosis>> Explain(const std::string& version_id);

 private:
  const Options options_;
  const Deps deps_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_CHECKPOINT_EXPLAINER_H_
