#ifndef THAW_COMMON_LOG_LOG_H_
#define THAW_COMMON_LOG_LOG_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "spdlog/logger.h"

namespace thaw {

// A component's logger: lines on stderr, `<RFC 3339 UTC> <level> <component> <text>`, text as key=value.
// `level` is one of trace, debug, info, warn, error. Never log payloads. Threads: any.
std::shared_ptr<spdlog::logger> MakeLogger(const std::string& component, const std::string& level = "info");

// A logger that drops all: for tests.
std::shared_ptr<spdlog::logger> NullLogger();

}  // namespace thaw

#endif  // THAW_COMMON_LOG_LOG_H_
