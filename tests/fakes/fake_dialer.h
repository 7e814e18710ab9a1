#ifndef THAW_TESTS_FAKES_FAKE_DIALER_H_
#define THAW_TESTS_FAKES_FAKE_DIALER_H_

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "agent/invoke/function_connection.h"

namespace thaw::testing {

// Functions that answer at once, as `answer` says; listeners that come up, or not, as `listen` says. One thread.
class FakeDialer final : public agent::FunctionDialer {
 public:
  std::function<absl::StatusOr<agent::FunctionReply>(const agent::FunctionRequest&)> answer =
      [](const agent::FunctionRequest&) { return agent::FunctionReply{200, {}, ""}; };
  // The results of the next waits, in order; then OK.
  std::deque<absl::Status> listen;
  int waits = 0;

  std::unique_ptr<agent::FunctionConnection> NewConnection(const std::string&) override {
    return std::make_unique<Connection>(*this);
  }
  absl::Status AwaitListener(const std::string&, absl::Time, absl::AnyInvocable<bool()>) override {
    ++waits;
    if (listen.empty()) return absl::OkStatus();
    absl::Status next = listen.front();
    listen.pop_front();
    return next;
  }

 private:
  class Connection final : public agent::FunctionConnection {
   public:
    explicit Connection(FakeDialer& dialer) : dialer_(dialer) {}
    void Call(agent::FunctionRequest request, Done done) override { done(dialer_.answer(request)); }
    void Close() override {}

   private:
    FakeDialer& dialer_;
  };
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_FAKES_FAKE_DIALER_H_
