#include "cli/commands/context.h"

#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "cli/freezing/words.h"
#include "cli/output/wire.h"
#include "common/status/status_macros.h"

namespace thaw::cli {

absl::StatusOr<GatewayClient*> Context::Client() {
  if (client_ == nullptr) {
    ASSIGN_OR_RETURN(client_, env_.connect(connection));
  }
  return client_.get();
}

Terminal Context::out_terminal() const {
  Terminal terminal = env_.out_terminal;
  terminal.colour = terminal.colour && !no_color;
  return terminal;
}

Terminal Context::err_terminal() const {
  Terminal terminal = env_.err_terminal;
  terminal.colour = terminal.colour && !no_color;
  return terminal;
}

std::unique_ptr<Progress> Context::NewProgress() {
  return MakeProgress(env_.err, err_terminal(), env_.clock);
}

void Context::Print(absl::string_view text) {
  env_.out.write(text.data(), static_cast<std::streamsize>(text.size()));
  env_.out.flush();
}

void Context::PrintJson(const nlohmann::ordered_json& json) { Print(absl::StrCat(DumpPretty(json), "\n")); }

std::string Context::InvokeUrl(const std::string& function_id) const {
  std::string base = http_url;
  if (base.empty()) {
    const auto colon = connection.server.rfind(':');
    // The gateway's ports for HTTP in clear and with TLS, as deploy/ has them.
    const bool tls = !connection.tls_ca_file.empty();
    base = absl::StrCat(tls ? "https://" : "http://", connection.server.substr(0, colon), tls ? ":8443" : ":8080");
  }
  return absl::StrCat(absl::StripSuffix(base, "/"), "/invoke/", function_id);
}

absl::StatusOr<std::map<std::string, std::string>> ParsePairs(const std::vector<std::string>& words,
                                                              absl::string_view option) {
  std::map<std::string, std::string> pairs;
  for (const std::string& word : words) {
    const auto equals = word.find('=');
    if (equals == std::string::npos || equals == 0) {
      return absl::InvalidArgumentError(absl::StrCat("`", option, " ", word, "` is not KEY=VALUE"));
    }
    pairs[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return pairs;
}

absl::StatusOr<commonpb::CheckpointPolicy> ParseCheckpoint(const std::string& text) {
  return ParseCheckpointPolicy(text, "--checkpoint");
}

}  // namespace thaw::cli
