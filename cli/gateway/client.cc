#include "cli/gateway/client.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status/status_macros.h"

namespace thaw::cli {
namespace {

bool LooksLikeId(absl::string_view text) {
  constexpr absl::string_view kAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  return text.size() == 26 && text.find_first_not_of(kAlphabet) == absl::string_view::npos;
}

}  // namespace

absl::StatusOr<gatewaypb::FunctionRef> ParseFunctionRef(absl::string_view text) {
  gatewaypb::FunctionRef ref;
  if (LooksLikeId(text)) {
    ref.set_id(std::string(text));
    return ref;
  }
  const std::vector<absl::string_view> parts = absl::StrSplit(text, '/');
  if (parts.size() != 2 || parts[0].empty() || parts[1].empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "`", text, "` names no function: write APP/FUNCTION (for example demo/hello) or its id"));
  }
  ref.set_path(std::string(text));
  return ref;
}

absl::StatusOr<commonpb::Function> FindFunction(GatewayClient& client, absl::string_view text) {
  ASSIGN_OR_RETURN(const gatewaypb::FunctionRef ref, ParseFunctionRef(text));
  commonpb::GetFunctionRequest request;
  if (!ref.id().empty()) {
    request.set_id(ref.id());
  } else {
    const std::pair<std::string, std::string> names = absl::StrSplit(ref.path(), '/');
    request.set_app_name(names.first);
    request.set_name(names.second);
  }
  return client.GetFunction(request);
}

absl::StatusOr<commonpb::App> FindApp(GatewayClient& client, absl::string_view text) {
  commonpb::GetAppRequest by_name;
  by_name.set_name(std::string(text));
  auto app = client.GetApp(by_name);
  if (app.ok() || app.status().code() != absl::StatusCode::kNotFound || !LooksLikeId(text)) return app;
  commonpb::GetAppRequest by_id;
  by_id.set_id(std::string(text));
  return client.GetApp(by_id);
}

}  // namespace thaw::cli
