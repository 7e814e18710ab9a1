#include "gateway/invoke/headers.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace thaw::gateway {
namespace {

constexpr std::array<absl::string_view, 12> kConnectionHeaders = {
    "Connection",          "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate",
    "Proxy-Authorization", "TE",               "Trailer",    "Transfer-Encoding",
    "Upgrade",             "Expect",           "Content-Length", "Host"};

template <typename Drop>
std::vector<Header> Filter(std::vector<Header> headers, Drop drop) {
  std::vector<std::string> named;
  for (const Header& header : headers) {
    if (!absl::EqualsIgnoreCase(header.name, "Connection")) continue;
    for (absl::string_view name : absl::StrSplit(header.value, ',')) {
      named.emplace_back(absl::StripAsciiWhitespace(name));
    }
  }
  const auto unwanted = [&](const Header& header) {
    const auto same = [&](absl::string_view name) { return absl::EqualsIgnoreCase(header.name, name); };
    return std::any_of(kConnectionHeaders.begin(), kConnectionHeaders.end(), same) ||
           std::any_of(named.begin(), named.end(), same) || same("Content-Type") || drop(same) ||
           !IsHeaderName(header.name) || !IsHeaderValue(header.value);
  };
  headers.erase(std::remove_if(headers.begin(), headers.end(), unwanted), headers.end());
  return headers;
}

}  // namespace

std::vector<Header> FunctionHeaders(std::vector<Header> headers) {
  return Filter(std::move(headers),
                [](const auto& same) { return same("thaw-node") || same("thaw-cluster-token"); });
}

std::vector<Header> ClientHeaders(std::vector<Header> headers) {
  return Filter(std::move(headers), [](const auto& same) {
    return same("Fn-Call-Id") || same("Thaw-Start") || same("Thaw-Node") || same("Thaw-Instance") ||
           same("Thaw-Fallback") || same("Server-Timing");
  });
}

std::size_t HeaderBytes(const std::vector<Header>& headers) {
  std::size_t bytes = 0;
  for (const Header& header : headers) bytes += header.name.size() + header.value.size() + 4;
  return bytes;
}

bool IsHeaderName(absl::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           absl::string_view("!#$%&'*+-.^_`|~").find(c) != absl::string_view::npos;
  });
}

bool IsHeaderValue(absl::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) {
    return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  });
}

}  // namespace thaw::gateway
