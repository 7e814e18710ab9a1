#include "gateway/invoke/call.h"

namespace thaw::gateway {

const char* StartKindName(StartKind kind) {
  switch (kind) {
    case StartKind::kWarm:
      return "warm";
    case StartKind::kRestored:
      return "restored";
    case StartKind::kRestoredRemote:
      return "restored-remote";
    case StartKind::kCold:
      return "cold";
    case StartKind::kNone:
      break;
  }
  return "none";
}

}  // namespace thaw::gateway
