#ifndef THAW_AGENT_INVOKE_DECLARED_REQUEST_H_
#define THAW_AGENT_INVOKE_DECLARED_REQUEST_H_

#include "absl/time/time.h"
#include "agent/invoke/function_connection.h"
#include "agent/invoke/headers.h"
#include "common/ids/ids.h"
#include "thaw/common/v1/freezing.pb.h"

namespace thaw::agent {

// A call that the function's own settings ask for (priming, canary), as it reaches the function: with an id of its own.
inline FunctionRequest DeclaredRequest(const thaw::common::v1::PrimingRequest& declared, absl::Time deadline) {
  Headers caller;
  for (const auto& [name, value] : declared.headers()) caller.emplace_back(name, value);
  FunctionRequest request;
  request.headers = FunctionHeaders(caller, NewId(), deadline, declared.content_type());
  request.body = declared.body();
  request.deadline = deadline;
  return request;
}

}  // namespace thaw::agent

#endif  // THAW_AGENT_INVOKE_DECLARED_REQUEST_H_
