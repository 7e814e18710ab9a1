#include "common/rpc/callback_threads.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <chrono>
#include <memory>
#include <mutex>

#include "absl/synchronization/notification.h"

namespace thaw {

void KeepCallbackThreads() {
  static std::once_flag once;
  std::call_once(once, [] {
    // A channel holds the threads from its first call with a callback on. This one goes nowhere, and is over before it
    // would try to.
    static auto* const channel = new std::shared_ptr<grpc::Channel>(
        grpc::CreateChannel("unix:/nonexistent/thaw", grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::time_point::min());
    const grpc::Slice nothing;
    const grpc::ByteBuffer request(&nothing, 1);
    grpc::ByteBuffer response;
    absl::Notification over;
    grpc::GenericStub(*channel).UnaryCall(&context, "/thaw/none", grpc::StubOptions(), &request, &response,
                                          [&over](const grpc::Status&) { over.Notify(); });
    over.WaitForNotification();
  });
}

}  // namespace thaw
