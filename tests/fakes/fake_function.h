#ifndef THAW_TESTS_FAKES_FAKE_FUNCTION_H_
#define THAW_TESTS_FAKES_FAKE_FUNCTION_H_

#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "agent/invoke/function_connection.h"

namespace thaw::testing {

// A function whose answers the test gives one by one: calls wait in `pending` until then. One thread.
struct FakeFunction {
  struct Pending {
    agent::FunctionRequest request;
    agent::FunctionConnection::Done done;
  };
  std::deque<Pending> pending;
  int calls = 0;
  int closes = 0;

  // Answers the oldest call.
  void Answer(absl::StatusOr<agent::FunctionReply> reply) {
    Pending first = std::move(pending.front());
    pending.pop_front();
    first.done(std::move(reply));
  }
  void AnswerOk(std::string body = "ok") { Answer(agent::FunctionReply{200, {}, std::move(body)}); }
};

class FakeFunctionConnection final : public agent::FunctionConnection {
 public:
  explicit FakeFunctionConnection(std::shared_ptr<FakeFunction> function) : function_(std::move(function)) {}
  void Call(agent::FunctionRequest request, Done done) override {
    ++function_->calls;
    function_->pending.push_back({std::move(request), std::move(done)});
  }
  void Close() override { ++function_->closes; }

 private:
  const std::shared_ptr<FakeFunction> function_;
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_FAKES_FAKE_FUNCTION_H_
