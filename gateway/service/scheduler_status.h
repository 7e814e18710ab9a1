#ifndef THAW_GATEWAY_SERVICE_SCHEDULER_STATUS_H_
#define THAW_GATEWAY_SERVICE_SCHEDULER_STATUS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace grpc {
class Status;
}

namespace thaw::gateway {

// What a failed RPC to the scheduler means to a client of the gateway: the scheduler's own words pass; a connection
// that failed is UNAVAILABLE (SCHEDULER_UNAVAILABLE); a refused cluster token, or a method that is missing, is the
// operator's to mend: INTERNAL. `doing` completes "can't be reached for …".
absl::Status FromSchedulerStatus(const grpc::Status& status, absl::string_view doing);

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_SERVICE_SCHEDULER_STATUS_H_
