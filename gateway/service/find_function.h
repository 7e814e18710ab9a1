#ifndef THAW_GATEWAY_SERVICE_FIND_FUNCTION_H_
#define THAW_GATEWAY_SERVICE_FIND_FUNCTION_H_

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/rpc/security.h"
#include "gateway/routing/lease.h"
#include "thaw/scheduler/v1/scheduler.grpc.pb.h"

namespace thaw::gateway {

// Asks the scheduler for the function of that name. `done` comes once, on any thread; errors as FromSchedulerStatus().
// `catalogue` and `security` must live until then.
void FindFunction(scheduler::v1::Catalogue::Stub& catalogue, const Security& security, absl::Time deadline,
                  const FunctionName& name, absl::AnyInvocable<void(absl::StatusOr<::thaw::common::v1::Function>)> done);

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_SERVICE_FIND_FUNCTION_H_
