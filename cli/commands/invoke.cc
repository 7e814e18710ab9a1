#include <CLI/CLI.hpp>
#include <fstream>
#include <istream>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/commands/arguments.h"
#include "cli/commands/context.h"
#include "cli/exit_code.h"
#include "cli/output/format.h"
#include "cli/output/text_width.h"
#include "cli/output/wire.h"
#include "common/status/status_macros.h"
#include "common/text/utf8.h"

namespace thaw::cli {
namespace {

struct InvokeArguments {
  std::string function;
  std::string data;
  std::string content_type;
  std::vector<std::string> headers;
  std::string node;
  std::uint32_t timeout = 310;
  bool verbose = false;
};

// The request's body: text, or a stream that is read as it is sent.
struct Body {
  std::string head;
  // Where the rest comes from when `head` is not all; not owned.
  std::istream* rest = nullptr;
  std::unique_ptr<std::istream> owned;
  std::string content_type;
};

absl::StatusOr<Body> OpenBody(const std::string& data, std::istream& standard_input) {
  Body body;
  std::istream* source = nullptr;
  body.content_type = "text/plain";
  if (data == "-") {
    source = &standard_input;
    body.content_type = "application/octet-stream";
  } else if (absl::StartsWith(data, "@")) {
    const std::string path = data.substr(1);
    body.owned = std::make_unique<std::ifstream>(path, std::ios::binary);
    if (!*body.owned) {
      return LocalError(absl::NotFoundError(absl::StrCat("the file ", path, " can't be read; check --data")),
                        local_reason::kFile);
    }
    source = body.owned.get();
    body.content_type = absl::EndsWith(path, ".json") ? "application/json" : "application/octet-stream";
  } else {
    body.head = data;
    return body;
  }
  body.head.resize(kMaxUnaryBody + 1);
  source->read(body.head.data(), static_cast<std::streamsize>(body.head.size()));
  const auto got = static_cast<std::size_t>(source->gcount());
  if (got == body.head.size()) body.rest = source;
  body.head.resize(got);
  if (source->bad()) {
    return LocalError(absl::FailedPreconditionError(absl::StrCat("reading --data ", data, " broke off")),
                      local_reason::kFile);
  }
  return body;
}

absl::Status Produce(Body& body, ChunkSink sink) {
  RETURN_IF_ERROR(sink(body.head));
  if (body.rest == nullptr) return absl::OkStatus();
  std::string buffer(kMaxChunk, '\0');
  while (body.rest->read(buffer.data(), static_cast<std::streamsize>(buffer.size())) ||
         body.rest->gcount() > 0) {
    RETURN_IF_ERROR(sink(absl::string_view(buffer.data(), static_cast<std::size_t>(body.rest->gcount()))));
  }
  if (body.rest->bad()) {
    return LocalError(absl::FailedPreconditionError("reading --data broke off"), local_reason::kFile);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ParseHeaders(
    const std::vector<std::string>& words) {
  std::vector<std::pair<std::string, std::string>> headers;
  for (const std::string& word : words) {
    const auto colon = word.find(':');
    if (colon == std::string::npos || colon == 0) {
      return absl::InvalidArgumentError(absl::StrCat("`--header ", word, "` is not NAME:VALUE"));
    }
    headers.emplace_back(word.substr(0, colon),
                         std::string(absl::StripAsciiWhitespace(word.substr(colon + 1))));
  }
  return headers;
}

void PrintVerbose(Context& context, const gatewaypb::InvokeResponse& response) {
  const auto& start = response.start();
  const auto phase = [](const google::protobuf::Duration& duration) {
    return FormatMillis(DurationOf(duration));
  };
  context.env().err << context.err_terminal().Paint(
                           Style::kDim,
                           absl::StrCat(
                               StartKindWord(start.kind()), " on node ", start.node_id(), " in ",
                               FormatMillis(DurationOf(start.total())), " ms: queue ",
                               phase(start.phases().queue()), ", container ",
                               phase(start.phases().container()), ", fetch ", phase(start.phases().fetch()),
                               ", restore ", phase(start.phases().restore()), ", function ",
                               phase(start.phases().function()), "; call ", response.call_id(), ", instance ",
                               start.instance_id(),
                               start.fallback_reason().empty()
                                   ? ""
                                   : absl::StrCat("; the snapshot was not used: ", start.fallback_reason())))
                    << "\n";
}

std::string InvokeJson(const gatewaypb::InvokeResponse& response, const std::string& body) {
  nlohmann::ordered_json json;
  json["call_id"] = response.call_id();
  json["content_type"] = response.content_type();
  json["headers"] = nlohmann::ordered_json::array();
  for (const auto& header : response.headers()) {
    json["headers"].push_back({{"name", header.name()}, {"value", header.value()}});
  }
  if (IsUtf8(body)) {
    json["body"] = body;
  } else {
    json["body_base64"] = absl::Base64Escape(body);
  }
  json.update(StartJson(response.start()));
  return DumpPretty(json);
}

absl::Status RunInvoke(Context& context, const InvokeArguments& arguments) {
  context.function = arguments.function;
  gatewaypb::InvokeRequest request;
  ASSIGN_OR_RETURN(*request.mutable_function(), ParseFunctionRef(arguments.function));
  ASSIGN_OR_RETURN(const auto headers, ParseHeaders(arguments.headers));
  ASSIGN_OR_RETURN(Body body, OpenBody(arguments.data, context.env().in));
  request.set_content_type(arguments.content_type.empty() ? body.content_type : arguments.content_type);
  for (const auto& [name, value] : headers) {
    if (absl::EqualsIgnoreCase(name, "content-type")) {
      request.set_content_type(value);
      continue;
    }
    auto* header = request.add_headers();
    header->set_name(name);
    header->set_value(value);
  }
  ASSIGN_OR_RETURN(GatewayClient* const client, context.Client());
  const InvokeOptions options = {.node = arguments.node, .timeout = absl::Seconds(arguments.timeout)};

  gatewaypb::InvokeResponse response;
  std::string kept;
  const auto take = [&](absl::string_view data) {
    if (context.json) {
      kept.append(data.data(), data.size());
      return absl::OkStatus();
    }
    context.Print(data);
    if (!context.env().out) {
      return LocalError(absl::FailedPreconditionError("standard output was closed"), local_reason::kFile);
    }
    return absl::OkStatus();
  };
  // As a stream whatever the body's size: the answer may be larger than one message holds, and nobody knows before the
  // function has run.
  RETURN_IF_ERROR(client->InvokeStream(
      request, options, [&body](ChunkSink sink) { return Produce(body, sink); },
      [&response](const gatewaypb::InvokeResponse& start) { response = start; }, take));
  if (context.json) {
    context.Print(absl::StrCat(InvokeJson(response, kept), "\n"));
  } else if (context.env().out_terminal.interactive) {
    // The shell's prompt goes on a line of its own; a pipe gets the body and nothing else.
    context.Print("\n");
  }
  if (arguments.verbose && !context.json) PrintVerbose(context, response);
  return absl::OkStatus();
}

}  // namespace

void AddInvokeCommand(CLI::App& root, Context& context, Command& selected) {
  auto arguments = std::make_shared<InvokeArguments>();
  CLI::App* invoke = root.add_subcommand("invoke", "Call a function");
  invoke->add_option("function", arguments->function, "The function")
      ->required()
      ->type_name("APP/FUNCTION|ID");
  invoke
      ->add_option("-d,--data", arguments->data,
                   "The body: a text, @FILE, or - for standard input (default: empty)")
      ->type_name("TEXT|@FILE|-");
  invoke
      ->add_option(
          "--content-type", arguments->content_type,
          "Default: text/plain for a text, else application/octet-stream (application/json for @*.json)")
      ->type_name("TYPE");
  AddRepeated(invoke, "-H,--header", arguments->headers, "NAME:VALUE", "A header for the function; may be given again");
  invoke->add_option("--node", arguments->node, "Pin the call to a node, where the gateway allows it")
      ->type_name("ID");
  invoke
      ->add_option("--timeout", arguments->timeout,
                   "Give up after this time; the function's own limit holds as well")
      ->type_name("SECONDS")
      ->check(CLI::Range(1, 3600));
  invoke->add_flag("-v,--verbose", arguments->verbose,
                   "Say on standard error how it started and where the time went");
  invoke->footer(
      "The answer's body goes to standard output as it is. Bodies are streamed in both directions, up to the gateway's\n"
      "--max-body-bytes.\n\n"
      "Examples:\n"
      "  thaw invoke demo/hello --data 'Ann'\n"
      "  thaw invoke demo/resize --data @photo.jpg -H 'X-Width: 640' > small.jpg\n"
      "  tar c . | thaw invoke demo/store --data -\n"
      "  thaw invoke demo/hello --node b --json | jq .start\n");
  invoke->callback([arguments, &context, &selected] {
    selected = [arguments, &context] { return RunInvoke(context, *arguments); };
  });
}

}  // namespace thaw::cli
