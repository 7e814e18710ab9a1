#ifndef THAW_AGENT_CHECKPOINT_EXPLAINER_H_
#define THAW_AGENT_CHECKPOINT_EXPLAINER_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/checkpoint/diagnosis_log.h"
#include "agent/checkpoint/fdk_questions.h"
#include "agent/instance/slot_init.h"
#include "agent/invoke/function_connection.h"
#include "agent/pool/version_state.h"
#include "agent/start/sources.h"
#include "common/clock/clock.h"

namespace thaw::agent {

// Answers what is known of a version's freezing on this node. Threads: any; Explain() blocks, at most five times
// `look_limit` and once `question_limit` for each instance that it looks at.
class Explainer {
 public:
  struct Options {
    std::string node_id;
    absl::Duration look_limit = absl::Seconds(2);
    // A call that comes while an instance is asked who opened its descriptors waits as long at most.
    absl::Duration question_limit = absl::Seconds(1);
    // More would say the same again.
    std::size_t most_looks = 3;
  };
  // A version that this node runs.
  struct Version {
    VersionState state;
    // Its slots' control directories, those of empty ones too.
    std::vector<std::string> ctl_dirs;
    // VersionPool::Ask().
    std::function<void(const std::string& instance_id, FunctionRequest question, FunctionConnection::Done done)> ask;
  };
  struct Deps {
    // Nothing when the version is not known here.
    std::function<std::optional<Version>(const std::string& version_id)> find;
    // Connections of its own: an instance's slot may go at any moment, and a dead connection is only an answer less.
    SlotInitConnector& connector;
    ImageSource& images;
    const DiagnosisLog& diagnoses;
    const Clock& clock;
  };
  Explainer(const Options& options, const Deps& deps) : options_(options), deps_(deps) {}

  // Looks at instances that run now, then the log; the newest first. NOT_FOUND when this node has never run the version.
  absl::StatusOr<std::vector<thaw::common::v1::Diagnosis>> Explain(const std::string& version_id);

 private:
  thaw::common::v1::Diagnosis LookAt(const Version& version, const std::string& instance_id, SlotInit& init);
  // Adds to `look` what a checkpoint would say of the instance now: what stands in its way, and which of its random numbers
  // two restores would share. An error says what could not be found out.
  absl::Status LookAt(const Version& version, SlotInit& init, thaw::common::v1::Diagnosis& look);
  // Who opened its descriptors; asked of functions with our FDK only.
  Openers AskOpeners(const Version& version, const std::string& instance_id);

  const Options options_;
  const Deps deps_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_CHECKPOINT_EXPLAINER_H_
