#ifndef THAW_SCHEDULER_SERVICE_SERVICES_H_
#define THAW_SCHEDULER_SERVICE_SERVICES_H_

#include <memory>
#include <vector>

#include "common/executor/executor.h"
#include "common/rpc/security.h"
#include "scheduler/scheduler.h"

namespace grpc {
class Service;
}

namespace thaw::scheduler {

// The scheduler's gRPC faces: they translate, the scheduler does the work. `scheduler`, `security` and `timers` must
// outlive the services, and the services the server they are registered with.
std::unique_ptr<grpc::Service> NewCatalogueService(Scheduler& scheduler, const Security& security);
std::unique_ptr<grpc::Service> NewLeasesService(Scheduler& scheduler, const Security& security);
std::unique_ptr<grpc::Service> NewMembershipService(Scheduler& scheduler, const Security& security, Timers& timers);

// All three.
std::vector<std::unique_ptr<grpc::Service>> NewServices(Scheduler& scheduler, const Security& security, Timers& timers);

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_SERVICE_SERVICES_H_
