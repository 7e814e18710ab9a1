#ifndef THAW_GATEWAY_INVOKE_HEADERS_H_
#define THAW_GATEWAY_INVOKE_HEADERS_H_

#include <cstddef>
#include <vector>

#include "absl/strings/string_view.h"
#include "gateway/invoke/call.h"

namespace thaw::gateway {

// The headers of a request that a function gets to see: not those that belong to one connection (Connection and what
// it names, Keep-Alive, Proxy-*, TE, Trailer, Transfer-Encoding, Upgrade, Expect), not Host, Content-Length and
// Content-Type (they travel as what they say), not Thaw's own (thaw-node, thaw-cluster-token), and none whose name or
// value HTTP/1.1 can't carry.
std::vector<Header> FunctionHeaders(std::vector<Header> headers);

// The headers of a function's answer that a client gets to see: as above; Fn-Call-Id and Thaw-* are the gateway's.
std::vector<Header> ClientHeaders(std::vector<Header> headers);

// Names and values, with the four bytes of `: ` and the line's end.
std::size_t HeaderBytes(const std::vector<Header>& headers);

// Whether HTTP/1.1 can carry it: a token, and no control characters.
bool IsHeaderName(absl::string_view name);
bool IsHeaderValue(absl::string_view value);

}  // namespace thaw::gateway

#endif  // THAW_GATEWAY_INVOKE_HEADERS_H_
