#ifndef THAW_AGENT_NODE_VERSION_SAVER_H_
#define THAW_AGENT_NODE_VERSION_SAVER_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "agent/pool/version_state.h"
#include "common/executor/executor.h"
#include "spdlog/logger.h"

namespace thaw::agent {

// Keeps the version file up to date, however often the versions change: after each connection to the
// scheduler each of them does. One save at most is under way, and one more to come.
//
// Threads: any. Failures are logged: the next change, or the next start's scheduler, makes up for them.
class VersionSaver {
 public:
  using States = std::function<std::vector<VersionState>()>;

  // `states` tells what is to be saved when a save begins; it may take locks that callers of Changed() do not
  // hold. All must outlive the work on `executor`.
  VersionSaver(std::string path, States states, Executor& executor, std::shared_ptr<spdlog::logger> log)
      : path_(std::move(path)), states_(std::move(states)), executor_(executor), log_(std::move(log)) {}

  // What `states` tells has changed: a save that begins after this will have it. Does not block.
  void Changed() ABSL_LOCKS_EXCLUDED(mu_);

  // Saves here and now, after the one under way; blocks. For the agent's start and end.
  void Save() ABSL_LOCKS_EXCLUDED(mu_, saving_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mu_, saving_);
  // `pending_` is true: what it stands for is handed to the executor.
  void Queue() ABSL_LOCKS_EXCLUDED(mu_);

  const std::string path_;
  const States states_;
  Executor& executor_;
  const std::shared_ptr<spdlog::logger> log_;

  // Held over a save: saves share the file's temporary name, and the newest states must be the last written.
  absl::Mutex saving_ ABSL_ACQUIRED_BEFORE(mu_);
  absl::Mutex mu_;
  // There are changes that no save that has begun is sure to have.
  bool dirty_ ABSL_GUARDED_BY(mu_) = false;
  // A save is queued or under way on the executor; at its end it looks whether another is wanted.
  bool pending_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_NODE_VERSION_SAVER_H_
