#ifndef THAW_TESTS_SYSTEM_ENGINE_PROXY_H_
#define THAW_TESTS_SYSTEM_ENGINE_PROXY_H_

#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace thaw::testing {

// A unix socket between an agent and the Docker Engine that the test can close: the engine vanishes for this agent alone.
class EngineProxy {
 public:
  // Listens at `path`, hands on to `engine`.
  EngineProxy(std::string path, std::string engine);
  ~EngineProxy();
  EngineProxy(const EngineProxy&) = delete;
  EngineProxy& operator=(const EngineProxy&) = delete;

  const std::string& path() const { return path_; }
  // While closed, connections that are open are cut and new ones are dropped at once.
  void SetOpen(bool open);
  // Connections dropped since it was closed.
  int refused() const { return refused_; }

 private:
  void Accept();
  void Carry(int client, int server);

  const std::string path_, engine_;
  int listener_ = -1;
  std::atomic<bool> open_{true}, stopping_{false};
  std::atomic<int> refused_{0};
  absl::Mutex mu_;
  std::set<int> carried_ ABSL_GUARDED_BY(mu_);
  std::vector<std::thread> carriers_ ABSL_GUARDED_BY(mu_);
  std::thread acceptor_;
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_SYSTEM_ENGINE_PROXY_H_
