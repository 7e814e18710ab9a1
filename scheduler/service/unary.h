#ifndef THAW_SCHEDULER_SERVICE_UNARY_H_
#define THAW_SCHEDULER_SERVICE_UNARY_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/executor/executor.h"
#include "common/rpc/security.h"
#include "common/rpc/status.h"

// The two shapes of a unary method. Both check the cluster's token before anything else.
namespace thaw::scheduler {

// Puts a result where the answer is.
template <typename Response>
absl::Status Fill(absl::StatusOr<Response> result, Response* response) {
  if (!result.ok()) return result.status();
  *response = *std::move(result);
  return absl::OkStatus();
}

// Answers at once with what `work() -> absl::Status` says; it must not wait for the disk.
template <typename Work>
grpc::ServerUnaryReactor* Answer(const Security& security, grpc::CallbackServerContext* context, Work work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  absl::Status status = security.CheckToken(*context);
  if (status.ok()) status = work();
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

// Runs `work` on the store's executor. What its caller has given up by then is not begun.
template <typename Work>
grpc::ServerUnaryReactor* AnswerFromWriter(const Security& security, Executor& writer,
                                           grpc::CallbackServerContext* context, Work work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (absl::Status status = security.CheckToken(*context); !status.ok()) {
    reactor->Finish(ToGrpcStatus(status));
    return reactor;
  }
  absl::Status added = writer.Add([reactor, context, work = std::move(work)]() mutable {
    reactor->Finish(ToGrpcStatus(context->IsCancelled() ? absl::CancelledError("the caller gave up; nothing was done")
                                                        : work()));
  });
  if (!added.ok()) reactor->Finish(ToGrpcStatus(added));
  return reactor;
}

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_SERVICE_UNARY_H_
