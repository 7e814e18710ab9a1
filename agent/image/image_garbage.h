#ifndef THAW_AGENT_IMAGE_IMAGE_GARBAGE_H_
#define THAW_AGENT_IMAGE_IMAGE_GARBAGE_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "agent/container/runtime.h"
#include "agent/start/sources.h"
#include "common/clock/clock.h"
#include "prometheus/counter.h"
#include "spdlog/logger.h"

namespace thaw::agent {

// Takes images off this node's engine when no version needs them any more.
//
// Only Thaw's own go: those that Thaw brought to this engine (from another node, a registry, or the person
// who deployed), and those that `thaw deploy` built, which it names thaw.local/…; and only while they have no
// other name than Thaw's. An image that was on the engine for another reason, or was given a name of
// somebody's own since, stays.
//
// Several agents may share one engine. Every agent knows all versions of the cluster, so none removes what
// another one's version needs, as long as it hears the scheduler: while it does not, nothing is removed. What
// a container still uses is never removed (there is no force), but tried again; the last one to drain removes
// it.
//
// What is known is kept in a file, so that an agent that restarts still knows which images are Thaw's.
//
// Threads: any. AskedFor() and Connected() do not block; all others touch the disk or the engine.
class ImageGarbage {
 public:
  struct Options {
    // The file: one line for each image, `<id> <brought|found> <reference>`.
    std::string file;
    // How long an image stays that no version needs: for who goes back to an older version, and because the
    // news of a version's end and of the next version with the same image come in any order. Infinite: for
    // ever.
    absl::Duration keep = absl::Minutes(10);
  };
  struct Deps {
    ContainerRuntime& runtime;
    // Told to forget what was removed.
    ImageSource& images;
    // Whether a version that the scheduler has told of has this image. Called without a lock held.
    std::function<bool(const std::string& image_id)> is_needed;
    // Whether the scheduler is heard, so that is_needed() knows all versions.
    std::function<bool()> is_connected;
    // An image was removed that a version needs which came meanwhile: it must be brought again.
    std::function<void(const std::string& image_id)> bring_again;
    prometheus::Counter& removed;
    const Clock& clock;
    std::shared_ptr<spdlog::logger> log;
  };

  // Reads the file. One that can't be read is logged and counts as empty: its images stay.
  ImageGarbage(const Options& options, const Deps& deps);

  // A version's image is on the engine. `brought`: by Thaw, just now; it was not there before. `reference`:
  // the version's name for it, may be empty.
  void Noted(const std::string& image_id, const std::string& reference, bool brought) ABSL_LOCKS_EXCLUDED(mu_);
  // Somebody asks whether the image is here, perhaps in order to make a version of it: it stays for another
  // while.
  void AskedFor(const std::string& image_id) ABSL_LOCKS_EXCLUDED(mu_);
  // The scheduler is heard again; what it has to tell is still on its way.
  void Connected() ABSL_LOCKS_EXCLUDED(mu_);

  // Removes what was not needed for long enough. To be called every now and then; calls must not overlap.
  void Sweep() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Entry {
    std::string reference;
    bool brought = false;
    // Infinite future while it is needed.
    absl::Time unneeded_since = absl::InfiniteFuture();
  };

  void Load();
  void Save() ABSL_LOCKS_EXCLUDED(mu_, saving_);
  // Those whose time is over.
  std::vector<std::string> Due() ABSL_LOCKS_EXCLUDED(mu_);
  // Whether this agent is done with the image, one way or the other.
  bool Remove(const std::string& image_id, const Entry& entry);

  const Options options_;
  const Deps deps_;
  absl::Mutex saving_;
  absl::Mutex mu_ ABSL_ACQUIRED_AFTER(saving_);
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_IMAGE_IMAGE_GARBAGE_H_
