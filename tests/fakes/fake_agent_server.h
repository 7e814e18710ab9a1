#ifndef THAW_TESTS_FAKES_FAKE_AGENT_SERVER_H_
#define THAW_TESTS_FAKES_FAKE_AGENT_SERVER_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tests/fakes/fake_endpoint.h"
#include "thaw/agent/v1/agent.grpc.pb.h"

namespace thaw::testing {

// An agent on a real port without any container: it answers calls as the test says, keeps images as bytes, and reads
// logs from a list. It asks for the cluster token as the real one does. Threads: any.
class FakeAgentServer {
 public:
  struct Seen {
    agent::v1::InvokeRequest request;
    bool streamed = false;
    // Of the RPC's deadline at its arrival; infinite without one.
    absl::Duration time_left;
  };
  struct Reply {
    absl::Status status;
    agent::v1::InvokeResponse response;
    // Never answers: the call ends when it is cancelled.
    bool hang = false;
  };
  using OnInvoke = std::function<Reply(const agent::v1::InvokeRequest&)>;

  explicit FakeAgentServer(std::string token);
  ~FakeAgentServer();

  // Listens, at the second time on the same port again.
  void Start();
  void Stop();
  std::string address() const { return endpoint_.address(); }
  int port() const { return endpoint_.port(); }

  // Status 200 with the request's body, warm.
  static Reply Echo(const agent::v1::InvokeRequest& request);
  static Reply Hang(const agent::v1::InvokeRequest& request);
  // Echo() at first.
  void set_on_invoke(OnInvoke on_invoke) ABSL_LOCKS_EXCLUDED(mu_);

  std::vector<Seen> seen() const ABSL_LOCKS_EXCLUDED(mu_);
  int calls() const ABSL_LOCKS_EXCLUDED(mu_);
  // Hanging calls that were cancelled.
  int cancelled() const ABSL_LOCKS_EXCLUDED(mu_);
  int refused() const { return endpoint_.refused(); }
  // Waits, for 10 s at most, for the nth call; for cancelled calls.
  bool AwaitCalls(int calls) ABSL_LOCKS_EXCLUDED(mu_);
  bool AwaitCancelled(int cancelled) ABSL_LOCKS_EXCLUDED(mu_);

  // What Freeze() answers: `failure`, or when that is OK a snapshot of the version that was asked for.
  void set_freeze_failure(absl::Status failure) ABSL_LOCKS_EXCLUDED(mu_);
  // Freeze() never answers: it ends when it is cancelled.
  void set_freeze_hangs(bool hangs) ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<std::string> frozen() const ABSL_LOCKS_EXCLUDED(mu_);

  // What Explain answers for every version; NOT_FOUND at first.
  void set_explanation(absl::StatusOr<agent::v1::ExplainResponse> explanation) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    explanation_ = std::move(explanation);
  }

  // Image archives by id.
  void AddImage(const std::string& id, const std::string& archive) ABSL_LOCKS_EXCLUDED(mu_);
  std::map<std::string, std::string> images() const ABSL_LOCKS_EXCLUDED(mu_);

  // One line of a function's log; goes to open `follow` streams, too.
  void AddLogLine(const std::string& function_id, const std::string& line) ABSL_LOCKS_EXCLUDED(mu_);
  int log_streams() const ABSL_LOCKS_EXCLUDED(mu_);
  // ReadLogs fails with it, if not OK.
  void set_log_failure(absl::Status failure) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  class Functions;
  class Images;

  // Records the call and has it answered; returns when it is to be finished.
  Reply Answer(grpc::ServerContext* context, const agent::v1::InvokeRequest& request, bool streamed)
      ABSL_LOCKS_EXCLUDED(mu_);

  FakeEndpoint endpoint_;
  std::unique_ptr<Functions> functions_service_;
  std::unique_ptr<Images> images_service_;

  mutable absl::Mutex mu_;
  OnInvoke on_invoke_ ABSL_GUARDED_BY(mu_) = &FakeAgentServer::Echo;
  std::vector<Seen> seen_ ABSL_GUARDED_BY(mu_);
  int cancelled_ ABSL_GUARDED_BY(mu_) = 0;
  int log_streams_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status log_failure_ ABSL_GUARDED_BY(mu_);
  absl::Status freeze_failure_ ABSL_GUARDED_BY(mu_);
  bool freeze_hangs_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::string> frozen_ ABSL_GUARDED_BY(mu_);
  absl::StatusOr<agent::v1::ExplainResponse> explanation_ ABSL_GUARDED_BY(mu_) = absl::NotFoundError("never run here");
  std::map<std::string, std::string> images_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::vector<std::string>> logs_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_FAKES_FAKE_AGENT_SERVER_H_
