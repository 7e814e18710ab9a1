#include "gateway/service/find_image.h"

#include <grpcpp/server_context.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"
#include "thaw/agent/v1/agent.grpc.pb.h"

namespace thaw::gateway {

grpc::ServerUnaryReactor* StartFindImage(grpc::CallbackServerContext& context, const v1::FindImageRequest& request,
                                         v1::FindImageResponse& response, const AskNodesDeps& deps) {
  using agent::v1::HasImageResponse;
  grpc::ServerUnaryReactor* reactor = context.DefaultReactor();
  if (!absl::StartsWith(request.image_id(), "sha256:")) {
    reactor->Finish(ToGrpcStatus(WithReason(absl::InvalidArgumentError("image_id must be `sha256:` and 64 hex digits"),
                                            reason::kInvalidField, {{"field", "image_id"}})));
    return reactor;
  }
  agent::v1::HasImageRequest question;
  question.set_image_id(request.image_id());
  AskNodes<agent::v1::Images>(
      deps, &agent::v1::Images::StubInterface::async_interface::HasImage, std::move(question),
      [reactor, &response](absl::StatusOr<std::vector<NodeAnswer<HasImageResponse>>> answers) {
        if (!answers.ok()) {
          reactor->Finish(ToGrpcStatus(answers.status()));
          return;
        }
        std::vector<std::string> found;
        for (NodeAnswer<HasImageResponse>& answer : *answers) {
          if (answer.status.ok() && answer.response.present()) found.push_back(std::move(answer.node_id));
        }
        std::sort(found.begin(), found.end());
        response.mutable_node_ids()->Assign(found.begin(), found.end());
        reactor->Finish(grpc::Status::OK);
      });
  return reactor;
}

}  // namespace thaw::gateway
