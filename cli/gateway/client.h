#ifndef THAW_CLI_GATEWAY_CLIENT_H_
#define THAW_CLI_GATEWAY_CLIENT_H_

#include <functional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "thaw/common/v1/catalogue.pb.h"
#include "thaw/gateway/v1/gateway.pb.h"

namespace thaw::cli {

namespace commonpb = ::thaw::common::v1;
namespace gatewaypb = ::thaw::gateway::v1;

// The largest body that Invoke takes (gateway.proto).
inline constexpr std::size_t kMaxUnaryBody = 4u << 20;
// The largest part of a streamed body or image (gateway.proto).
inline constexpr std::size_t kMaxChunk = 1u << 20;

struct InvokeOptions {
  // Pins the call to a node when not empty.
  std::string node;
  // Becomes the call's deadline.
  absl::Duration timeout = absl::Seconds(310);
};

// Takes one part of something long; an error ends the transfer and is what the transfer returns.
using ChunkSink = absl::FunctionRef<absl::Status(absl::string_view)>;

// The cluster, as a client of its public API sees it. Errors are the gateway's, with its reasons and next to
// that UNAVAILABLE without a reason when it can't be reached. Every method but ReadLogs with `follow` has a
// time limit. Threads: any.
class GatewayClient {
 public:
  virtual ~GatewayClient() = default;

  virtual absl::StatusOr<gatewaypb::InvokeResponse> Invoke(const gatewaypb::InvokeRequest& request,
                                                           const InvokeOptions& options) = 0;
  // Sends `start` (whose body is not used), then what `produce` gives to the sink (parts of any size; called
  // on another thread than the caller's). The answer's first message goes to `on_start`, its parts to
  // `on_chunk`.
  virtual absl::Status InvokeStream(const gatewaypb::InvokeRequest& start, const InvokeOptions& options,
                                    absl::FunctionRef<absl::Status(ChunkSink)> produce,
                                    absl::FunctionRef<void(const gatewaypb::InvokeResponse&)> on_start,
                                    ChunkSink on_chunk) = 0;

  virtual absl::StatusOr<commonpb::App> CreateApp(const commonpb::App& app) = 0;
  virtual absl::StatusOr<commonpb::App> GetApp(const commonpb::GetAppRequest& request) = 0;
  // All pages.
  virtual absl::StatusOr<std::vector<commonpb::App>> ListApps() = 0;
  virtual absl::StatusOr<commonpb::App> UpdateApp(const commonpb::App& app) = 0;
  virtual absl::Status DeleteApp(const std::string& id) = 0;

  virtual absl::StatusOr<commonpb::Function> CreateFunction(const commonpb::Function& function) = 0;
  virtual absl::StatusOr<commonpb::Function> GetFunction(const commonpb::GetFunctionRequest& request) = 0;
  // All pages. An empty name lists the functions of all apps.
  virtual absl::StatusOr<std::vector<commonpb::Function>> ListFunctions(const std::string& app_name) = 0;
  virtual absl::StatusOr<commonpb::Function> UpdateFunction(const commonpb::Function& function) = 0;
  virtual absl::Status DeleteFunction(const std::string& id) = 0;

  virtual absl::StatusOr<std::vector<commonpb::Node>> ListNodes() = 0;

  // Empty lists all.
  virtual absl::StatusOr<std::vector<commonpb::SnapshotInfo>> ListSnapshots(
      const std::string& function_id) = 0;
  virtual absl::StatusOr<commonpb::SnapshotInfo> GetSnapshot(const std::string& id) = 0;
  virtual absl::Status DeleteSnapshot(const std::string& id) = 0;
  // Freezes an instance of the function now; answers when the snapshot is published, which may take minutes.
  virtual absl::StatusOr<commonpb::SnapshotInfo> CreateSnapshot(const std::string& function_id) = 0;

  virtual absl::StatusOr<commonpb::Secret> SetSecret(const commonpb::SetSecretRequest& request) = 0;
  virtual absl::StatusOr<std::vector<commonpb::Secret>> ListSecrets(const std::string& app_id) = 0;
  virtual absl::Status DeleteSecret(const std::string& app_id, const std::string& name) = 0;

  virtual absl::StatusOr<gatewaypb::ExplainFreezingResponse> ExplainFreezing(
      const gatewaypb::ExplainFreezingRequest& request) = 0;

  virtual absl::StatusOr<std::vector<std::string>> FindImage(const std::string& image_id) = 0;
  // Sends the archive that `produce` gives to the sink, in parts of any size.
  virtual absl::StatusOr<gatewaypb::PushImageResponse> PushImage(
      const gatewaypb::PushImageRequest::Header& header,
      absl::FunctionRef<absl::Status(ChunkSink)> produce) = 0;

  // Ends when the log does, or with the first error that `on_line` returns.
  virtual absl::Status ReadLogs(const gatewaypb::ReadLogsRequest& request,
                                absl::FunctionRef<absl::Status(const gatewaypb::LogLine&)> on_line) = 0;

  virtual absl::StatusOr<gatewaypb::ServerInfo> GetServerInfo() = 0;

  // Ends what is in flight with CANCELLED. Later calls are not affected.
  virtual void CancelAll() = 0;
};

// Where and how to reach the gateway.
struct ConnectionOptions {
  // host:port
  std::string server;
  // PEM file of the authority that signed the gateway's certificate; empty: no TLS.
  std::string tls_ca_file;
};

// `app/function` or an id (26 characters, no slash). INVALID_ARGUMENT says what is wrong with `text`.
absl::StatusOr<gatewaypb::FunctionRef> ParseFunctionRef(absl::string_view text);

// Asks the gateway for the function that `text` names.
absl::StatusOr<commonpb::Function> FindFunction(GatewayClient& client, absl::string_view text);

// Asks for an app by name, or by id when `text` looks like one and no app has it as its name.
absl::StatusOr<commonpb::App> FindApp(GatewayClient& client, absl::string_view text);

}  // namespace thaw::cli

#endif  // THAW_CLI_GATEWAY_CLIENT_H_
