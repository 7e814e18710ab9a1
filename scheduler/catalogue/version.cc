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

}  // namespace

std::optional<common::v1::VersionSpec> MakeVersion(const common::v1::App& app, const common::v1::Function& function) {
  if (function.image_id().empty()) return std::nullopt;
  common::v1::VersionSpec spec;
  spec.set_app_id(app.id());
  spec.set_app_name(app.name());
  spec.set_function_id(function.id());
  spec.set_function_name(function.name());
  spec.set_image(function.image());
  spec.set_image_id(function.image_id());
  *spec.mutable_config() = app.config();
  for (const auto& [key, value] : function.config()) (*spec.mutable_config())[key] = value;
  spec.set_memory_mib(function.memory_mib());
  spec.set_cpu_millis(function.cpu_millis());
  *spec.mutable_timeout() = function.timeout();
  *spec.mutable_idle_timeout() = function.idle_timeout();
  *spec.mutable_checkpoint() = function.checkpoint();
  spec.set_engine(kEngine);

  FieldHash hash;
  hash.Add(kScheme)
      .Add(spec.app_id())
      .Add(spec.function_id())
      .Add(spec.image_id())
      .Add(absl::StrCat(spec.memory_mib()))
      .Add(absl::StrCat(spec.cpu_millis()))
      .Add(spec.engine());
  // A protobuf map has no order.
  const std::map<std::string, std::string> config(spec.config().begin(), spec.config().end());
  hash.Add(absl::StrCat(config.size()));
  for (const auto& [key, value] : config) hash.Add(key).Add(value);
  spec.set_version_id(hash.Finish());
  return spec;
}

}  // namespace thaw::scheduler
