// The result of an act inside thaw-init. thaw-init links neither Abseil nor gRPC, so that the static
// binary stays small and starts in any image; the codes carry the names of absl::StatusCode, and the
// agent turns them back into absl::Status.
#ifndef THAW_AGENT_INIT_OUTCOME_H_
#define THAW_AGENT_INIT_OUTCOME_H_

#include <string>
#include <utility>

namespace thaw::init {

enum class Code {
  kOk,
  kInvalidArgument,
  kNotFound,
  kFailedPrecondition,
  kResourceExhausted,
  kUnavailable,
  kAborted,
  kDeadlineExceeded,
  kDataLoss,
  kInternal,
};

// The name as in absl::StatusCodeToString, e.g. "FAILED_PRECONDITION".
const char* CodeName(Code code);

// Success, or a code with a message that names the object, the failed act and the remedy.
class [[nodiscard]] Outcome {
 public:
  Outcome() = default;
  Outcome(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

// "<what>: <strerror(error)>" with the code that the errno value calls for: ENOSPC and EDQUOT and ENOMEM
// are RESOURCE_EXHAUSTED, ENOENT is NOT_FOUND, everything else INTERNAL.
Outcome ErrnoOutcome(int error, const std::string& what);

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_OUTCOME_H_
