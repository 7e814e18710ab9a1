#ifndef THAW_TESTS_SUPPORT_SCRIPTED_UNIX_SERVER_H_
#define THAW_TESTS_SUPPORT_SCRIPTED_UNIX_SERVER_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tests/support/temp_dir.h"

namespace thaw::testing {

// A server on a unix socket whose every byte the test decides: each connection is handled on a thread of its own, and
// closed when the handler returns.
class ScriptedUnixServer {
 public:
  class Connection {
   public:
    Connection(int fd, int number) : fd_(fd), number_(number) {}

    // 0 for the first connection of the server.
    int number() const { return number_; }
    // The next request's head up to its empty line, and its body by Content-Length (chunked bodies: the chunks as
    // they come, to the last). False when the peer closed first.
    bool ReadRequest();
    // The next request's head alone.
    bool ReadHead();
    const std::string& head() const { return head_; }
    const std::string& body() const { return body_; }
    // False when the peer does not take it.
    bool Send(absl::string_view bytes);
    // "HTTP/1.1 200 OK" with a Content-Length.
    bool Answer(absl::string_view body, absl::string_view extra_headers = "", absl::string_view status = "200 OK");
    // Until the peer closes; what it sends meanwhile is dropped.
    void AwaitClose();

   private:
    bool Fill();

    const int fd_;
    const int number_;
    std::string buffer_;
    std::string head_;
    std::string body_;
  };
  using Handler = std::function<void(Connection&)>;

  // Listens at `path` (or, with an empty one, at a path of its own) until destroyed.
  explicit ScriptedUnixServer(Handler handler, std::string path = "", int backlog = 16);
  // Cuts all connections and waits for their handlers.
  ~ScriptedUnixServer();
  ScriptedUnixServer(const ScriptedUnixServer&) = delete;
  ScriptedUnixServer& operator=(const ScriptedUnixServer&) = delete;

  const std::string& path() const { return path_; }
  // Connections so far.
  int accepted() const ABSL_LOCKS_EXCLUDED(mu_);
  // Connections whose handler has not returned.
  int open() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Accept() ABSL_LOCKS_EXCLUDED(mu_);

  const Handler handler_;
  std::unique_ptr<TempDir> dir_;
  std::string path_;
  int listener_ = -1;
  mutable absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  int accepted_ ABSL_GUARDED_BY(mu_) = 0;
  std::vector<int> open_ ABSL_GUARDED_BY(mu_);
  std::vector<std::thread> handlers_ ABSL_GUARDED_BY(mu_);
  std::thread acceptor_;
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_SUPPORT_SCRIPTED_UNIX_SERVER_H_
