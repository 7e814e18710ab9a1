#include "scheduler/catalogue/version.h"

#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/crypto/sha256.h"

namespace thaw::scheduler {
namespace {

constexpr char kEngine[] = "criu";

// Names the way the digest is made. Another way needs another name, so that no two of them ever agree by chance.
constexpr char kScheme[] = "thaw-version-1";
// The same with the freeze settings at its end; only where there are any, so that versions of older schedulers keep
// their ids.
constexpr char kSchemeWithSettings[] = "thaw-version-2";

// Hashes fields so that no two different lists of fields are the same bytes.
class FieldHash {
 public:
  FieldHash& Add(absl::string_view field) {
    hash_.Update(absl::StrCat(field.size(), ":"));
    hash_.Update(field);
    return *this;
  }
  std::string Finish() { return hash_.FinishHex().substr(0, 32); }

 private:
  Sha256 hash_;
};

// App config overlaid by the function's.
std::map<std::string, std::string> MergedConfig(const common::v1::App& app, const common::v1::Function& function) {
  std::map<std::string, std::string> config(app.config().begin(), app.config().end());
  for (const auto& [key, value] : function.config()) config[key] = value;
  return config;
}

// Whether the settings have anything that a snapshot depends on. The engine is a field of its own.
bool ShapesSnapshots(const common::v1::FreezeSettings& freeze) {
  return freeze.rules_size() + freeze.restore_time_config_size() + freeze.secrets_size() + freeze.without_cures_size() > 0 ||
         !freeze.cpu_baseline().empty();
}

void AddSettings(const common::v1::FreezeSettings& freeze, FieldHash& hash) {
  hash.Add(absl::StrCat(freeze.rules_size()));
  for (const auto& rule : freeze.rules()) {
    hash.Add(absl::StrCat(static_cast<int>(rule.kind()))).Add(rule.pattern()).Add(absl::StrCat(static_cast<int>(rule.action())));
  }
  hash.Add(absl::StrCat(freeze.restore_time_config_size()));
  for (const auto& key : freeze.restore_time_config()) hash.Add(key);
  hash.Add(absl::StrCat(freeze.secrets_size()));
  for (const auto& secret : freeze.secrets()) hash.Add(secret.name()).Add(secret.after_restore_only() ? "after-restore" : "always");
  hash.Add(absl::StrCat(freeze.without_cures_size()));
  for (const auto& cure : freeze.without_cures()) hash.Add(cure);
  hash.Add(freeze.cpu_baseline());
}

}  // namespace

std::map<std::string, std::string> RestoreTimeConfig(const common::v1::App& app, const common::v1::Function& function) {
  const std::map<std::string, std::string> config = MergedConfig(app, function);
  std::map<std::string, std::string> values;
  for (const auto& key : function.freeze().restore_time_config()) {
    if (const auto it = config.find(key); it != config.end()) values.insert(*it);
  }
  return values;
}

std::optional<common::v1::VersionSpec> MakeVersion(const common::v1::App& app, const common::v1::Function& function) {
  if (function.image_id().empty()) return std::nullopt;
  common::v1::VersionSpec spec;
  spec.set_app_id(app.id());
  spec.set_app_name(app.name());
  spec.set_function_id(function.id());
  spec.set_function_name(function.name());
  spec.set_image(function.image());
  spec.set_image_id(function.image_id());
  std::map<std::string, std::string> config = MergedConfig(app, function);
  for (const auto& key : function.freeze().restore_time_config()) config.erase(key);
  for (const auto& [key, value] : config) (*spec.mutable_config())[key] = value;
  spec.set_memory_mib(function.memory_mib());
  spec.set_cpu_millis(function.cpu_millis());
  *spec.mutable_timeout() = function.timeout();
  *spec.mutable_idle_timeout() = function.idle_timeout();
  *spec.mutable_checkpoint() = function.checkpoint();
  spec.set_engine(function.freeze().engine().empty() ? kEngine : function.freeze().engine());
  if (function.has_freeze()) *spec.mutable_freeze() = function.freeze();

  FieldHash hash;
  const bool with_settings = ShapesSnapshots(spec.freeze());
  hash.Add(with_settings ? kSchemeWithSettings : kScheme)
      .Add(spec.app_id())
      .Add(spec.function_id())
      .Add(spec.image_id())
      .Add(absl::StrCat(spec.memory_mib()))
      .Add(absl::StrCat(spec.cpu_millis()))
      .Add(spec.engine());
  hash.Add(absl::StrCat(config.size()));
  for (const auto& [key, value] : config) hash.Add(key).Add(value);
  if (with_settings) AddSettings(spec.freeze(), hash);
  spec.set_version_id(hash.Finish());
  return spec;
}

}  // namespace thaw::scheduler
