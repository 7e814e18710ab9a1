#ifndef THAW_GATEWAY_SERVICE_FIND_FUNCTION_H_
#define THAW_GATEWAY_SERVICE_FIND_FUNCTION_H_

#include <grpcpp/client_context.h>

#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "gateway/routing/lease.h"
#include "thaw/scheduler/v1/scheduler.grpc.pb.h"

namespace thaw::gateway {

// Asks the scheduler for the function of that name. `done` comes once, on any thread; errors as FromSchedulerStatus().
// `context` has token and deadline (ChildContext()); who keeps a share can cancel the question.
void FindFunction(scheduler::v1::Catalogue::Stub& catalogue, std::shared_ptr<grpc::ClientContext> context,
                  const FunctionName& name,
                  absl::AnyInvocable<void(absl::StatusOr<::thaw::common::v1::Function>)> done);

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_SERVICE_FIND_FUNCTION_H_
