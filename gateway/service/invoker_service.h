#ifndef THAW_GATEWAY_SERVICE_INVOKER_SERVICE_H_
#define THAW_GATEWAY_SERVICE_INVOKER_SERVICE_H_

#include "gateway/invoke/admission.h"
#include "gateway/invoke/invoker.h"
#include "thaw/gateway/v1/gateway.grpc.pb.h"

namespace thaw::gateway {

// thaw.gateway.v1.Invoker: calls from outside. Errors of calls that came to be carry the call's id in the trailing
// metadata `fn-call-id`, and the node that was asked last in `thaw-node`.
class InvokerService final : public v1::Invoker::CallbackService {
 public:
  // Bodies and answers of one unary RPC; larger ones are for InvokeStream.
  static constexpr std::size_t kMaxUnaryBytes = 4u << 20;
  // Of an answer's parts.
  static constexpr std::size_t kChunkBytes = 512u << 10;

  // Both must outlive the service, and the service its server.
  InvokerService(Invoker& invoker, Admission& admission) : invoker_(invoker), admission_(admission) {}

  grpc::ServerUnaryReactor* Invoke(grpc::CallbackServerContext* context, const v1::InvokeRequest* request,
                                   v1::InvokeResponse* response) override;
  grpc::ServerBidiReactor<v1::InvokeStreamRequest, v1::InvokeStreamResponse>* InvokeStream(
      grpc::CallbackServerContext* context) override;

 private:
  Invoker& invoker_;
  Admission& admission_;
};

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_SERVICE_INVOKER_SERVICE_H_
