#ifndef THAW_AGENT_CHECKPOINT_FUNCTION_CALL_H_
#define THAW_AGENT_CHECKPOINT_FUNCTION_CALL_H_

#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "agent/invoke/function_connection.h"

namespace thaw::agent {

// One call on the function's socket, waited for: until its answer or its deadline.
inline absl::StatusOr<FunctionReply> CallAndWait(FunctionConnection& connection, FunctionRequest request) {
  auto done = std::make_shared<absl::Notification>();
  auto result = std::make_shared<absl::StatusOr<FunctionReply>>(absl::UnknownError("no answer"));
  connection.Call(std::move(request), [done, result](absl::StatusOr<FunctionReply> reply) {
    *result = std::move(reply);
    done->Notify();
  });
  done->WaitForNotification();
  return std::move(*result);
}

// One call to our FDK itself, of the paths below `/thaw/` that never reach user code.
inline absl::StatusOr<FunctionReply> AskFdk(FunctionConnection& connection, const char* method, const char* path,
                                            absl::Time deadline) {
  FunctionRequest request;
  request.method = method;
  request.target = path;
  request.deadline = deadline;
  return CallAndWait(connection, std::move(request));
}

}  // namespace thaw::agent

#endif  // THAW_AGENT_CHECKPOINT_FUNCTION_CALL_H_
