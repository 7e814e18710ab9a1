#ifndef THAW_COMMON_STATUS_STATUS_MACROS_H_
#define THAW_COMMON_STATUS_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns from the enclosing function when `expr` is not OK.
#define RETURN_IF_ERROR(expr)                        \
  do {                                               \
    absl::Status thaw_status_ = (expr);              \
    if (!thaw_status_.ok()) return thaw_status_;     \
  } while (false)

#define THAW_STATUS_CONCAT_INNER_(a, b) a##b
#define THAW_STATUS_CONCAT_(a, b) THAW_STATUS_CONCAT_INNER_(a, b)

// ASSIGN_OR_RETURN(auto value, MakeValue()): declares or assigns, or returns the error.
#define ASSIGN_OR_RETURN(lhs, expr) \
  ASSIGN_OR_RETURN_IMPL_(THAW_STATUS_CONCAT_(thaw_statusor_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_IMPL_(statusor, lhs, expr) \
  auto statusor = (expr);                           \
  if (!statusor.ok()) return statusor.status();     \
  lhs = std::move(statusor).value()

#endif  // THAW_COMMON_STATUS_STATUS_MACROS_H_
