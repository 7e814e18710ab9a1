#ifndef THAW_GATEWAY_SERVICE_INVOKER_SERVICE_H_
#define THAW_GATEWAY_SERVICE_INVOKER_SERVICE_H_

#include "absl/time/time.h"
#include "common/clock/clock.h"
#include "common/executor/executor.h"
#include "gateway/invoke/admission.h"
#include "gateway/invoke/invoker.h"
#include "thaw/gateway/v1/gateway.grpc.pb.h"

namespace thaw::gateway {

// thaw.gateway.v1.Invoker: calls from outside. Errors of calls that came to be carry the call's id in the trailing
// metadata `fn-call-id`, and the node that was asked last in `thaw-node`.
//
// A client that stalls is cut off, as over HTTP: what it has sent so far counts against all callers' memory.
class InvokerService final : public v1::Invoker::CallbackService {
 public:
  // Bodies and answers of one unary RPC; larger ones are for InvokeStream.
  static constexpr std::size_t kMaxUnaryBytes = 4u << 20;
  // Of an answer's parts.
  static constexpr std::size_t kChunkBytes = 512u << 10;

  struct Options {
    // The longest time between two messages of an InvokeStream's request, and from the call to the first one. A
    // message is seen only when it is whole: over a slow line, small parts are safer.
    absl::Duration read_limit = absl::Seconds(15);
    // A client that sends its body or reads its answer slower than this, past twice read_limit, is cut off.
    std::size_t min_bytes_per_second = 16u << 10;
  };
  // All must outlive the service.
  struct Deps {
    Invoker* invoker;
    Admission* admission;
    const Clock* clock;
    Timers* timers;
  };

  // The service must outlive its server.
  InvokerService(const Options& options, Deps deps) : options_(options), deps_(deps) {}

  grpc::ServerUnaryReactor* Invoke(grpc::CallbackServerContext* context, const v1::InvokeRequest* request,
                                   v1::InvokeResponse* response) override;
  grpc::ServerBidiReactor<v1::InvokeStreamRequest, v1::InvokeStreamResponse>* InvokeStream(
      grpc::CallbackServerContext* context) override;

 private:
  const Options options_;
  const Deps deps_;
};

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_SERVICE_INVOKER_SERVICE_H_
