#ifndef THAW_BENCH_FUNCTION_SOCKET_H_
#define THAW_BENCH_FUNCTION_SOCKET_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace thaw::bench {

// Length of the HTTP/1.1 message that `bytes` begins with, or 0 while it is not whole. Takes Content-Length and, as some
// servers choose it, chunked bodies. INTERNAL when it is no HTTP answer.
absl::StatusOr<std::size_t> AnswerLength(const std::string& bytes);
// The status code of an answer.
int AnswerStatus(const std::string& bytes);

// A connection to a function's own socket, called as Fn's http-stream contract says, with nothing of Thaw between.
// One thread at a time.
class FunctionSocket {
 public:
  explicit FunctionSocket(std::string iofs_dir) : iofs_dir_(std::move(iofs_dir)) {}
  ~FunctionSocket();
  FunctionSocket(const FunctionSocket&) = delete;
  FunctionSocket& operator=(const FunctionSocket&) = delete;

  // Dials until the function listens, looking every millisecond.
  absl::Status Connect(absl::Time deadline);
  // One call. INTERNAL when the answer's status is not 200.
  absl::Status Call(const std::string& body);

 private:
  const std::string iofs_dir_;
  int fd_ = -1;
};

}  // namespace thaw::bench

#endif  // THAW_BENCH_FUNCTION_SOCKET_H_
