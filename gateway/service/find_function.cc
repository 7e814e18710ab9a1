#include "gateway/service/find_function.h"

#include <cstddef>
#include <memory>
#include <utility>

#include "gateway/service/scheduler_status.h"

namespace thaw::gateway {
namespace {

struct FindCall {
  std::shared_ptr<grpc::ClientContext> context;
  ::thaw::common::v1::GetFunctionRequest request;
  ::thaw::common::v1::Function response;
  absl::AnyInvocable<void(absl::StatusOr<::thaw::common::v1::Function>)> done;
};

}  // namespace

void FindFunction(scheduler::v1::Catalogue::Stub& catalogue, std::shared_ptr<grpc::ClientContext> context,
                  const FunctionName& name,
                  absl::AnyInvocable<void(absl::StatusOr<::thaw::common::v1::Function>)> done) {
  auto call = std::make_shared<FindCall>();
  call->context = std::move(context);
  call->done = std::move(done);
  if (!name.id.empty()) {
    call->request.set_id(name.id);
  } else {
    const std::size_t slash = name.path.find('/');
    call->request.set_app_name(name.path.substr(0, slash));
    call->request.set_name(name.path.substr(slash + 1));
  }
  catalogue.async()->GetFunction(call->context.get(), &call->request, &call->response, [call](grpc::Status status) {
    if (!status.ok()) {
      call->done(FromSchedulerStatus(status, "the function"));
    } else {
      call->done(std::move(call->response));
    }
  });
}

}  // namespace thaw::gateway
