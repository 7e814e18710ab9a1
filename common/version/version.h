#ifndef THAW_COMMON_VERSION_VERSION_H_
#define THAW_COMMON_VERSION_VERSION_H_

namespace thaw {

// Of all services, the CLI and thaw-init: they are released together.
inline constexpr char kVersion[] = "0.1.0";

}  // namespace thaw

#endif  // THAW_COMMON_VERSION_VERSION_H_
