#include "agent/node/version_saver.h"

#include <utility>

#include "agent/node/version_file.h"

namespace thaw::agent {

void VersionSaver::Changed() {
  {
    absl::MutexLock lock(&mu_);
    dirty_ = true;
    if (std::exchange(pending_, true)) return;
  }
  Queue();
}

void VersionSaver::Queue() {
  const absl::Status queued = executor_.Add([this] { Run(); });
  if (queued.ok()) return;
  log_->error("event=versions_not_saved error=\"{}\"", queued.ToString());
  absl::MutexLock lock(&mu_);
  pending_ = false;
}

void VersionSaver::Run() {
  Save();
  {
    absl::MutexLock lock(&mu_);
    pending_ = dirty_;
    if (!pending_) return;
  }
  // Not in a loop here: other work has its turn between two saves.
  Queue();
}

void VersionSaver::Save() {
  absl::MutexLock saving(&saving_);
  {
    absl::MutexLock lock(&mu_);
    // Before the states are read: what changes from here on is another save's.
    dirty_ = false;
  }
  const absl::Status saved = SaveVersionFile(path_, states_());
  if (!saved.ok()) log_->error("event=versions_not_saved error=\"{}\"", saved.ToString());
}

}  // namespace thaw::agent
