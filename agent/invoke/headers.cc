#include "agent/invoke/headers.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/status/reasons.h"

namespace thaw::agent {
namespace {

bool IsAnyOf(absl::string_view name, std::initializer_list<absl::string_view> names) {
  return std::any_of(names.begin(), names.end(),
                     [name](absl::string_view each) { return absl::EqualsIgnoreCase(name, each); });
}

// What the Connection headers name is for this connection only.
std::vector<std::string> ConnectionNames(const Headers& headers) {
  std::vector<std::string> names;
  for (const auto& [name, value] : headers) {
    if (!absl::EqualsIgnoreCase(name, "Connection")) continue;
    for (const absl::string_view each : absl::StrSplit(value, ',')) {
      names.emplace_back(absl::AsciiStrToLower(absl::StripAsciiWhitespace(each)));
    }
  }
  return names;
}

}  // namespace

bool IsHeaderName(absl::string_view name) {
  constexpr absl::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::all_of(name.begin(), name.end(), [&](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || kMarks.find(c) != absl::string_view::npos;
  });
}

bool IsHeaderValue(absl::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= ' ' && byte != 0x7f);
  });
}

bool IsHopByHop(absl::string_view name, absl::string_view value) {
  if (absl::EqualsIgnoreCase(name, "Te")) {
    return !absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(value), "trailers");
  }
  return IsAnyOf(name, {"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
                        "Trailer", "Transfer-Encoding", "Upgrade"});
}

Headers FunctionHeaders(const Headers& caller, absl::string_view call_id, absl::Time deadline,
                        absl::string_view content_type) {
  const std::vector<std::string> named = ConnectionNames(caller);
  Headers headers;
  headers.reserve(caller.size() + 3);
  for (const auto& [name, value] : caller) {
    if (!IsHeaderName(name) || !IsHeaderValue(value) || IsHopByHop(name, value)) continue;
    if (IsAnyOf(name, {"Host", "Expect", "Content-Length", "Fn-Call-Id", "Fn-Deadline"})) continue;
    if (!content_type.empty() && absl::EqualsIgnoreCase(name, "Content-Type")) continue;
    if (!named.empty() &&
        std::find(named.begin(), named.end(), absl::AsciiStrToLower(name)) != named.end()) {
      continue;
    }
    headers.emplace_back(name, value);
  }
  headers.emplace_back("Fn-Call-Id", std::string(call_id));
  headers.emplace_back("Fn-Deadline", absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", deadline, absl::UTCTimeZone()));
  if (!content_type.empty() && IsHeaderValue(content_type)) {
    headers.emplace_back("Content-Type", std::string(content_type));
  }
  return headers;
}

Headers AnswerHeaders(const FunctionReply& reply) {
  const std::vector<std::string> named = ConnectionNames(reply.headers);
  Headers headers;
  headers.reserve(reply.headers.size());
  for (const auto& [name, value] : reply.headers) {
    if (IsHopByHop(name, value) || absl::EqualsIgnoreCase(name, "Content-Length")) continue;
    if (std::find(named.begin(), named.end(), absl::AsciiStrToLower(name)) != named.end()) continue;
    headers.emplace_back(name, value);
  }
  return headers;
}

std::string FindHeader(const Headers& headers, absl::string_view name) {
  for (const auto& [each, value] : headers) {
    if (absl::EqualsIgnoreCase(each, name)) return value;
  }
  return "";
}

ReplyKind KindOf(const FunctionReply& reply) {
  switch (reply.status) {
    case 200:
      return ReplyKind::kOk;
    case 502:
      return ReplyKind::kFunctionFailed;
    case 504:
      return ReplyKind::kFunctionTimedOut;
    default:
      return ReplyKind::kBadStatus;
  }
}

bool InstanceGoesOn(ReplyKind kind) { return kind != ReplyKind::kBadStatus; }

absl::Status StatusOf(const FunctionReply& reply) {
  switch (KindOf(reply)) {
    case ReplyKind::kOk:
      return absl::OkStatus();
    case ReplyKind::kFunctionFailed:
      return MarkSent(WithReason(absl::InternalError("function failed"), reason::kFunctionFailed));
    case ReplyKind::kFunctionTimedOut:
      return MarkSent(WithReason(absl::DeadlineExceededError("Timed out"), reason::kFunctionTimeout));
    case ReplyKind::kBadStatus:
      break;
  }
  return MarkSent(WithReason(
      absl::InternalError(absl::StrCat("invalid function response: status ", reply.status,
                                       ", where the contract knows 200, 502 and 504")),
      reason::kFunctionBadAnswer, {{"status", absl::StrCat(reply.status)}}));
}

}  // namespace thaw::agent
