#ifndef THAW_AGENT_SERVICE_IMAGES_SERVICE_H_
#define THAW_AGENT_SERVICE_IMAGES_SERVICE_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "agent/container/runtime.h"
#include "agent/transfer/metrics.h"
#include "common/executor/executor.h"
#include "common/rpc/security.h"
#include "thaw/agent/v1/agent.grpc.pb.h"

namespace thaw::agent {

// thaw.agent.v1.Images: this node's engine, for gateways that bring images and agents that take them. The engine is called
// on `engine`, which a stream occupies with one thread for as long as it runs; it must have more threads than there may be
// streams, or be used for nothing that other nodes' streams wait for.
class ImagesService final : public v1::Images::CallbackService {
 public:
  struct Options {
    // Beyond these a stream is RESOURCE_EXHAUSTED.
    int max_exports = 2;
    int max_imports = 2;
    // For calls without a deadline of their own.
    absl::Duration longest_call = absl::Minutes(30);
    // Somebody asked whether that image is here; an image was imported that was not here before. On the executor's
    // threads; may be empty.
    std::function<void(const std::string& image_id)> on_asked_for = {};
    std::function<void(const std::string& image_id, const std::string& reference)> on_brought = {};
  };

  ImagesService(ContainerRuntime& runtime, std::shared_ptr<const Security> security, Executor& engine,
                TransferMetrics& metrics);
  ImagesService(const Options& options, ContainerRuntime& runtime, std::shared_ptr<const Security> security,
                Executor& engine, TransferMetrics& metrics);

  grpc::ServerUnaryReactor* HasImage(grpc::CallbackServerContext* context, const v1::HasImageRequest* request,
                                     v1::HasImageResponse* response) override;
  grpc::ServerReadReactor<v1::ImportImageRequest>* ImportImage(grpc::CallbackServerContext* context,
                                                               v1::ImportImageResponse* response) override;
  grpc::ServerWriteReactor<v1::ExportImageResponse>* ExportImage(grpc::CallbackServerContext* context,
                                                                 const v1::ExportImageRequest* request) override;

 private:
  class ImportStream;
  class ExportStream;

  const Options options_;
  ContainerRuntime& runtime_;
  const std::shared_ptr<const Security> security_;
  Executor& engine_;
  TransferMetrics& metrics_;
  std::atomic<int> exports_{0};
  std::atomic<int> imports_{0};
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_SERVICE_IMAGES_SERVICE_H_
