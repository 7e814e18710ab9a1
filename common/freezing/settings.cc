#include "common/freezing/settings.h"

#include <algorithm>

namespace thaw {

void NormaliseFreezeSettings(common::v1::FreezeSettings& settings) {
  if (settings.cpu_baseline() == kCpuBaselines[0]) settings.clear_cpu_baseline();
  if (settings.engine() == kEngines[0]) settings.clear_engine();
  auto& keys = *settings.mutable_restore_time_config();
  std::sort(keys.begin(), keys.end());
  auto& cures = *settings.mutable_without_cures();
  std::sort(cures.begin(), cures.end());
  cures.erase(std::unique(cures.begin(), cures.end()), cures.end());
  auto& secrets = *settings.mutable_secrets();
  std::sort(secrets.begin(), secrets.end(), [](const auto& a, const auto& b) { return a.name() < b.name(); });
}

}  // namespace thaw
