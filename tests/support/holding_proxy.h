#ifndef THAW_TESTS_SUPPORT_HOLDING_PROXY_H_
#define THAW_TESTS_SUPPORT_HOLDING_PROXY_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace thaw::testing {

// A TCP port on loopback before another one, that can hold answers up in their middle: what has begun to arrive goes no
// further until the test says so, and the connection stays. Threads: any.
class HoldingProxy {
 public:
  // Listens at a port of its own; connections are dropped until there is a target.
  HoldingProxy();
  ~HoldingProxy();
  HoldingProxy(const HoldingProxy&) = delete;
  HoldingProxy& operator=(const HoldingProxy&) = delete;

  int port() const { return port_; }
  void SetTarget(int port) { target_ = port; }

  // Lets about so many more bytes of answers through, of all connections together, then holds what follows.
  void HoldAfter(std::int64_t bytes) ABSL_LOCKS_EXCLUDED(mu_);
  void Release() ABSL_LOCKS_EXCLUDED(mu_);
  // Whether there is an answer that it holds.
  bool holding() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Connection;

  void Accept();
  void CarryRequests(const Connection& connection);
  void CarryAnswers(const Connection& connection) ABSL_LOCKS_EXCLUDED(mu_);

  int listener_ = -1;
  int port_ = 0;
  std::atomic<int> target_{0};
  mutable absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool limited_ ABSL_GUARDED_BY(mu_) = false;
  std::int64_t allowed_ ABSL_GUARDED_BY(mu_) = 0;
  int held_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<std::shared_ptr<Connection>> connections_ ABSL_GUARDED_BY(mu_);
  std::vector<std::thread> carriers_ ABSL_GUARDED_BY(mu_);
  std::thread acceptor_;
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_SUPPORT_HOLDING_PROXY_H_
