#include "gateway/http/response.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/status/reasons.h"
#include "common/text/utf8.h"
#include "gateway/invoke/headers.h"

namespace thaw::gateway {
namespace {

constexpr absl::Duration kDefaultRetryAfter = absl::Seconds(15);

const char* PhraseOf(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Payload Too Large";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Status";
  }
}

// As JSON text, with its quotes. Bytes that are not UTF-8 become U+FFFD.
std::string Quoted(absl::string_view text) {
  std::string out = "\"";
  char32_t code = 0;
  absl::string_view bytes;
  while (!text.empty()) {
    if (!TakeCharacter(text, code, bytes)) {
      out.append("\xef\xbf\xbd");
    } else if (code == '"' || code == '\\') {
      absl::StrAppend(&out, "\\", bytes);
    } else if (code < 0x20 || code == 0x7f) {
      absl::StrAppend(&out, "\\u", absl::Hex(code, absl::kZeroPad4));
    } else {
      absl::StrAppend(&out, bytes);
    }
  }
  out.push_back('"');
  return out;
}

void AddHeader(std::string& headers, absl::string_view name, absl::string_view value) {
  absl::StrAppend(&headers, name, ": ", value, "\r\n");
}

// A header's value from text that a function or an agent wrote.
std::string OneLine(absl::string_view text) {
  std::string line(text.substr(0, 256));
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return line;
}

void AddPhase(std::string& out, absl::string_view name, absl::Duration duration) {
  const std::int64_t micros = std::max<std::int64_t>(absl::ToInt64Microseconds(duration), 0);
  absl::StrAppend(&out, out.empty() ? "" : ", ", name, ";dur=", micros / 1000, ".",
                  absl::Dec(micros % 1000, absl::kZeroPad3));
}

// Formatting a date costs more than the rest of a small head; it changes once a second.
absl::string_view DateOf(absl::Time now) {
  thread_local std::int64_t second = -1;
  thread_local std::string text;
  const std::int64_t this_second = absl::ToUnixSeconds(now);
  if (this_second != second) {
    second = this_second;
    text = absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", now, absl::UTCTimeZone());
  }
  return text;
}

}  // namespace

int HttpStatusOf(const absl::Status& status) {
  const std::string why = ReasonOf(status);
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAlreadyExists:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      if (why == reason::kBodyTooLarge) return 413;
      if (why == reason::kHeadersTooLarge) return 431;
      if (why == reason::kFunctionAnswerTooLarge) return 502;
      return 503;
    case absl::StatusCode::kFailedPrecondition:
      if (why == reason::kNodeNotFound) return 404;
      if (why == reason::kEngineUnavailable || why == reason::kDiskFull) return 503;
      return 502;
    case absl::StatusCode::kAborted:
      return 502;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    case absl::StatusCode::kCancelled:
      return 499;
    case absl::StatusCode::kUnimplemented:
      return 501;
    default:
      if (why == reason::kFunctionNeverListened || why == reason::kFunctionTimeout) return 504;
      return absl::StartsWith(why, "FUNCTION_") ? 502 : 500;
  }
}

HttpResponse TextResponse(int status, absl::string_view content_type, std::string body) {
  HttpResponse response;
  response.status = status;
  AddHeader(response.headers, "Content-Type", content_type);
  response.body = std::move(body);
  return response;
}

HttpResponse ErrorResponse(const absl::Status& status) {
  const std::string why = ReasonOf(status);
  std::string body = absl::StrCat("{\"message\":", Quoted(status.message()));
  if (!why.empty()) absl::StrAppend(&body, ",\"reason\":", Quoted(why));
  body += "}\n";
  HttpResponse response = TextResponse(HttpStatusOf(status), "application/json; charset=utf-8", std::move(body));
  if (response.status == 503) {
    const absl::Duration wait = RetryAfterOf(status).value_or(kDefaultRetryAfter);
    // Whole seconds, at least one.
    const std::int64_t seconds = absl::ToInt64Seconds(absl::Ceil(wait, absl::Seconds(1)));
    AddHeader(response.headers, "Retry-After", absl::StrCat(std::max<std::int64_t>(seconds, 1)));
  }
  return response;
}

HttpResponse CallResponse(Outcome outcome) {
  HttpResponse response;
  if (outcome.status.ok()) {
    for (const Header& header : ClientHeaders(std::move(outcome.answer.headers))) {
      AddHeader(response.headers, header.name, header.value);
    }
    if (!outcome.answer.content_type.empty()) {
      AddHeader(response.headers, "Content-Type", OneLine(outcome.answer.content_type));
    }
    response.body = std::move(outcome.answer.body);
  } else {
    response = ErrorResponse(outcome.status);
  }
  if (!outcome.call_id.empty()) AddHeader(response.headers, "Fn-Call-Id", outcome.call_id);
  if (!outcome.node_id.empty()) AddHeader(response.headers, "Thaw-Node", OneLine(outcome.node_id));
  const Start& start = outcome.answer.start;
  if (start.kind != StartKind::kNone) {
    AddHeader(response.headers, "Thaw-Start", StartKindName(start.kind));
    if (!start.instance_id.empty()) AddHeader(response.headers, "Thaw-Instance", OneLine(start.instance_id));
    if (!start.fallback_reason.empty()) AddHeader(response.headers, "Thaw-Fallback", OneLine(start.fallback_reason));
    AddHeader(response.headers, "Server-Timing", ServerTiming(start));
  }
  return response;
}

std::string ServerTiming(const Start& start) {
  std::string out;
  AddPhase(out, "queue", start.queue);
  AddPhase(out, "container", start.container);
  AddPhase(out, "fetch", start.fetch);
  AddPhase(out, "restore", start.restore);
  AddPhase(out, "function", start.function);
  return out;
}

std::string ResponseHead(const HttpResponse& response, bool keep_alive, bool http_1_0, absl::Time now) {
  return absl::StrCat("HTTP/1.1 ", response.status, " ", PhraseOf(response.status), "\r\nDate: ", DateOf(now),
                      "\r\nContent-Length: ", response.body.size(), "\r\n",
                      !keep_alive ? "Connection: close\r\n" : http_1_0 ? "Connection: keep-alive\r\n" : "",
                      response.headers, "\r\n");
}

}  // namespace thaw::gateway
