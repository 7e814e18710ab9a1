#ifndef THAW_AGENT_NODE_VERSION_NEWS_H_
#define THAW_AGENT_NODE_VERSION_NEWS_H_

#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"

namespace thaw::agent {

// Keeps an answer about a version from undoing newer news of it. The scheduler's words come two ways, by the membership
// stream and as the answer to a question of ours, on different threads: an answer that was written before the stream's
// news (another secret, the version's removal) may be read after it. The scheduler would not send that news again.
//
// Threads: any. What is applied runs under the lock, one at a time; it must not come back here.
class VersionNews {
 public:
  // One question on its way; ends with the object.
  class Question {
   public:
    Question(VersionNews& news, std::string version_id);
    ~Question();
    Question(const Question&) = delete;
    Question& operator=(const Question&) = delete;

    // Runs `apply` unless the stream had news of the version since the question was asked. Returns whether it ran.
    bool ApplyAnswer(absl::FunctionRef<void()> apply) ABSL_LOCKS_EXCLUDED(news_.mu_);

   private:
    VersionNews& news_;
    const std::string version_id_;
    std::uint64_t asked_at_ = 0;
  };

  // The stream's news of the version: runs `apply`, and no answer to an older question is applied after it.
  void Apply(const std::string& version_id, absl::FunctionRef<void()> apply) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Asked {
    int questions = 0;
    std::uint64_t news = 0;
  };

  absl::Mutex mu_;
  // Versions with a question on its way.
  absl::flat_hash_map<std::string, Asked> asked_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_NODE_VERSION_NEWS_H_
