#ifndef THAW_GATEWAY_HTTP_RESPONSE_H_
#define THAW_GATEWAY_HTTP_RESPONSE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "gateway/invoke/call.h"

namespace thaw::gateway {

// A response, ready for the wire but for what depends on the connection.
struct HttpResponse {
  int status = 200;
  // Lines with their ends, without Content-Length, Connection and Date.
  std::string headers;
  std::string body;
};

// The HTTP status of an error. The function contract's table (docs of fn's http-stream) where it applies: a function
// that fails, exits or answers garbage is 502, a time that is up 504, no room 503, an image that can't be had 502.
int HttpStatusOf(const absl::Status& status);

// `{"message":"…","reason":"…"}` with Retry-After on 503, taken from the status's RetryInfo, else 15 s as fn has it.
HttpResponse ErrorResponse(const absl::Status& status);

// The answer to a call: the function's, or the error, with Fn-Call-Id, Thaw-Start, Thaw-Node, Thaw-Instance,
// Thaw-Fallback and Server-Timing as far as they are known. Takes what is in `outcome`.
HttpResponse CallResponse(Outcome outcome);

HttpResponse TextResponse(int status, absl::string_view content_type, std::string body);

// `queue;dur=0.120, container;dur=…, fetch;dur=…, restore;dur=…, function;dur=…`, in milliseconds.
std::string ServerTiming(const Start& start);

// The first line and the headers. `keep_alive`: what the connection does next; said where HTTP/1.1 and 1.0 would not
// take it for granted.
std::string ResponseHead(const HttpResponse& response, bool keep_alive, bool http_1_0, absl::Time now);

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_HTTP_RESPONSE_H_
