#include "gateway/service/find_function.h"

#include <grpcpp/client_context.h>

#include <cstddef>
#include <memory>
#include <utility>

#include "common/rpc/client.h"
#include "gateway/service/scheduler_status.h"

namespace thaw::gateway {
namespace {

struct FindCall {
  grpc::ClientContext context;
  ::thaw::common::v1::GetFunctionRequest request;
  ::thaw::common::v1::Function response;
  absl::AnyInvocable<void(absl::StatusOr<::thaw::common::v1::Function>)> done;
};

}  // namespace

void FindFunction(scheduler::v1::Catalogue::Stub& catalogue, const Security& security, absl::Time deadline,
                  const FunctionName& name, absl::AnyInvocable<void(absl::StatusOr<::thaw::common::v1::Function>)> done) {
  auto call = std::make_shared<FindCall>();
  call->done = std::move(done);
  if (!name.id.empty()) {
    call->request.set_id(name.id);
  } else {
    const std::size_t slash = name.path.find('/');
    call->request.set_app_name(name.path.substr(0, slash));
    call->request.set_name(name.path.substr(slash + 1));
  }
  PrepareCall(call->context, security, deadline);
  catalogue.async()->GetFunction(&call->context, &call->request, &call->response, [call](grpc::Status status) {
    if (!status.ok()) {
      call->done(FromSchedulerStatus(status, "the function"));
    } else {
      call->done(std::move(call->response));
    }
  });
}

}  // namespace thaw::gateway
