#include "agent/init/outcome.h"

#include <cerrno>
#include <cstring>

namespace thaw::init {

const char* CodeName(Code code) {
  switch (code) {
    case Code::kOk: return "OK";
    case Code::kInvalidArgument: return "INVALID_ARGUMENT";
    case Code::kNotFound: return "NOT_FOUND";
    case Code::kFailedPrecondition: return "FAILED_PRECONDITION";
    case Code::kResourceExhausted: return "RESOURCE_EXHAUSTED";
    case Code::kUnavailable: return "UNAVAILABLE";
    case Code::kAborted: return "ABORTED";
    case Code::kDeadlineExceeded: return "DEADLINE_EXCEEDED";
    case Code::kDataLoss: return "DATA_LOSS";
    case Code::kInternal: return "INTERNAL";
  }
  return "INTERNAL";
}

Outcome ErrnoOutcome(int error, const std::string& what) {
  Code code = Code::kInternal;
  if (error == ENOSPC || error == EDQUOT || error == ENOMEM) code = Code::kResourceExhausted;
  if (error == ENOENT) code = Code::kNotFound;
  return Outcome(code, what + ": " + std::strerror(error));
}

}  // namespace thaw::init
