#include "scheduler/catalogue/validation.h"

#include <google/protobuf/map.h>
#include <locale.h>
#include <wctype.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/freezing/settings.h"
#include "common/rpc/client.h"
#include "common/status/status_macros.h"
#include "common/text/utf8.h"
#include "scheduler/catalogue/freeze_settings.h"
#include "scheduler/errors.h"
#include "scheduler/limits.h"

namespace thaw::scheduler {
namespace {

using StringMap = google::protobuf::Map<std::string, std::string>;

// Letters and digits of any script, by the C library's Unicode tables (its C.UTF-8 is built in). Immutable.
bool IsLetterOrDigit(char32_t point) {
  static const locale_t kUnicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  if (point < 0x80) return absl::ascii_isalnum(static_cast<unsigned char>(point));
  return kUnicode != nullptr && iswalnum_l(static_cast<wint_t>(point), kUnicode) != 0;
}

absl::Status CheckAppName(absl::string_view name) {
  if (name.empty()) return errors::InvalidField("name", "is missing; give the app a name");
  if (name.size() > limits::kMaxNameBytes) {
    return errors::InvalidField("name", absl::StrCat("has ", name.size(), " bytes; an app's name has at most ",
                                                     limits::kMaxNameBytes));
  }
  for (absl::string_view rest = name; !rest.empty();) {
    // Protobuf refuses strings that are no UTF-8 before they get here; tests and other callers may not.
    char32_t point = 0;
    absl::string_view bytes;
    if (TakeCharacter(rest, point, bytes) && (point == '_' || point == '-' || IsLetterOrDigit(point))) continue;
    return errors::InvalidField("name", absl::StrCat("'", name, "' is not an app's name; use letters, digits, _ and -"));
  }
  return absl::OkStatus();
}

// What needs no escape as one segment of a URL's path.
bool IsUrlSegmentCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::string_view("-_.~$&+:=@").find(c) != absl::string_view::npos;
}

absl::Status CheckFunctionName(absl::string_view name) {
  if (name.empty()) return errors::InvalidField("name", "is missing; give the function a name");
  if (name.size() > limits::kMaxNameBytes) {
    return errors::InvalidField("name", absl::StrCat("has ", name.size(), " bytes; a function's name has at most ",
                                                     limits::kMaxNameBytes));
  }
  for (char c : name) {
    if (IsUrlSegmentCharacter(c)) continue;
    return errors::InvalidField(
        "name", absl::StrCat("'", name, "' is not a function's name; use what a URL's path needs no escape for: ASCII "
                                        "letters, digits and -_.~$&+:=@"));
  }
  return absl::OkStatus();
}

absl::Status MergeConfig(const StringMap& update, StringMap& config) {
  for (const auto& [key, value] : update) {
    if (key.empty() || key.size() > limits::kMaxConfigKeyBytes || absl::StrContains(key, '=') ||
        absl::StrContains(key, '\0')) {
      return errors::InvalidField(
          "config", absl::StrCat("key '", absl::string_view(key).substr(0, 64), "' can't name an environment variable; "
                                 "use 1 to ", limits::kMaxConfigKeyBytes, " characters without '='"));
    }
    if (absl::StrContains(value, '\0')) {
      return errors::InvalidField("config", absl::StrCat("value of '", key, "' has a zero byte; encode it as text"));
    }
    if (value.empty()) {
      config.erase(key);
    } else {
      config[key] = value;
    }
  }
  std::size_t bytes = 0;
  for (const auto& [key, value] : config) bytes += key.size() + value.size() + 2;
  if (config.size() > limits::kMaxConfigEntries || bytes > limits::kMaxConfigBytes) {
    return errors::InvalidField("config", absl::StrCat("has ", config.size(), " entries of ", bytes,
                                                       " bytes; the limits are ", limits::kMaxConfigEntries,
                                                       " entries and ", limits::kMaxConfigBytes, " bytes"));
  }
  return absl::OkStatus();
}

// Answers carry these; they are not the client's to set. The Fn CLI sends them back as it got them.
bool IsGeneratedAnnotation(absl::string_view key) {
  return key == kCheckpointErrorAnnotation || key == "fnproject.io/fn/invokeEndpoint" ||
         key == "fnproject.io/trigger/httpEndpoint";
}

absl::Status MergeAnnotations(const StringMap& update, StringMap& annotations) {
  for (const auto& [key, value] : update) {
    if (IsGeneratedAnnotation(key)) continue;
    bool printable = !key.empty() && key.size() <= limits::kMaxAnnotationKeyBytes;
    for (char c : key) printable = printable && absl::ascii_isgraph(static_cast<unsigned char>(c));
    if (!printable) {
      return errors::InvalidField("annotations",
                                  absl::StrCat("key '", absl::string_view(key).substr(0, 64), "' is not one; use 1 to ",
                                               limits::kMaxAnnotationKeyBytes, " printable ASCII characters, no spaces"));
    }
    if (value.empty()) {
      annotations.erase(key);
      continue;
    }
    const auto json = nlohmann::json::parse(value, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded()) {
      return errors::InvalidField("annotations",
                                  absl::StrCat("value of '", key, "' is no JSON text; quote it if it is a string"));
    }
    if (json.is_null() || (json.is_string() && json.get_ref<const std::string&>().empty())) {
      annotations.erase(key);
      continue;
    }
    const std::string compact = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    if (compact.size() > limits::kMaxAnnotationValueBytes) {
      return errors::InvalidField("annotations", absl::StrCat("value of '", key, "' has ", compact.size(),
                                                              " bytes; the limit is ", limits::kMaxAnnotationValueBytes));
    }
    annotations[key] = compact;
  }
  if (annotations.size() > limits::kMaxAnnotations) {
    return errors::InvalidField("annotations", absl::StrCat("are ", annotations.size(), "; the limit is ",
                                                            limits::kMaxAnnotations));
  }
  return absl::OkStatus();
}

absl::Status CheckDuration(absl::string_view field, const google::protobuf::Duration& value, absl::Duration min,
                           absl::Duration max) {
  const absl::Duration duration = FromProto(value);
  if (duration >= min && duration <= max) return absl::OkStatus();
  return errors::InvalidField(field, absl::StrCat("is ", absl::FormatDuration(duration), ", out of range; choose ",
                                                  absl::FormatDuration(min), " to ", absl::FormatDuration(max)));
}

bool IsImageId(absl::string_view id) {
  if (!absl::ConsumePrefix(&id, "sha256:") || id.size() != 64) return false;
  for (char c : id) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c)) && (c < 'a' || c > 'f')) return false;
  }
  return true;
}

absl::Status CheckImage(const common::v1::Function& function) {
  if (function.image().empty()) return errors::InvalidField("image", "is missing; name the image to run, with a tag");
  if (function.image().size() > limits::kMaxImageReferenceBytes) {
    return errors::InvalidField("image", absl::StrCat("has ", function.image().size(), " bytes; the limit is ",
                                                      limits::kMaxImageReferenceBytes));
  }
  for (char c : function.image()) {
    if (absl::ascii_isgraph(static_cast<unsigned char>(c))) continue;
    return errors::InvalidField("image", "has a character that no image's name has; use printable ASCII, no spaces");
  }
  if (!function.image_id().empty() && !IsImageId(function.image_id())) {
    return errors::InvalidField("image_id", absl::StrCat("'", absl::string_view(function.image_id()).substr(0, 80),
                                                         "' is not `sha256:` and 64 lower-case hex digits; `docker "
                                                         "image inspect` shows it as Id"));
  }
  return absl::OkStatus();
}

absl::Status CheckCheckpointPolicy(const common::v1::CheckpointPolicy& policy) {
  if (!common::v1::CheckpointPolicy::Mode_IsValid(policy.mode())) {
    return errors::InvalidField("checkpoint.mode", absl::StrCat("is ", static_cast<int>(policy.mode()),
                                                                ", which this scheduler does not know; upgrade it"));
  }
  if (policy.after_invocations() > limits::kMaxAfterInvocations) {
    return errors::InvalidField("checkpoint.after_invocations",
                                absl::StrCat("is ", policy.after_invocations(), ", out of range; choose 1 to ",
                                             limits::kMaxAfterInvocations));
  }
  return absl::OkStatus();
}

// Fills in what the policy left open. Only a policy that counts keeps a count.
void Normalise(common::v1::CheckpointPolicy& policy) {
  if (policy.mode() == common::v1::CheckpointPolicy::MODE_UNSPECIFIED) {
    policy.set_mode(common::v1::CheckpointPolicy::MODE_AFTER_INVOCATIONS);
  }
  if (policy.mode() != common::v1::CheckpointPolicy::MODE_AFTER_INVOCATIONS) {
    policy.clear_after_invocations();
  } else if (policy.after_invocations() == 0) {
    policy.set_after_invocations(limits::kDefaultAfterInvocations);
  }
}

// Settings that say nothing are as good as none.
void SetFreeze(const common::v1::FreezeSettings& settings, common::v1::Function& function) {
  *function.mutable_freeze() = settings;
  NormaliseFreezeSettings(*function.mutable_freeze());
  if (function.freeze().ByteSizeLong() == 0) function.clear_freeze();
}

// The rules that hold for a function however it was put together.
absl::Status CheckFunction(const common::v1::Function& function) {
  RETURN_IF_ERROR(CheckImage(function));
  if (function.memory_mib() < 1 || function.memory_mib() > limits::kMaxMemoryMib) {
    return errors::InvalidField("memory_mib", absl::StrCat("is ", function.memory_mib(),
                                                           ", out of range; choose 1 to ", limits::kMaxMemoryMib));
  }
  if (function.cpu_millis() > limits::kMaxCpuMillis) {
    return errors::InvalidField("cpu_millis", absl::StrCat("is ", function.cpu_millis(),
                                                           ", out of range; choose up to ", limits::kMaxCpuMillis));
  }
  RETURN_IF_ERROR(CheckDuration("timeout", function.timeout(), limits::kMinTimeout, limits::kMaxTimeout));
  RETURN_IF_ERROR(
      CheckDuration("idle_timeout", function.idle_timeout(), limits::kMinIdleTimeout, limits::kMaxIdleTimeout));
  RETURN_IF_ERROR(CheckFreezeSettings(function.freeze()));
  return CheckCheckpointPolicy(function.checkpoint());
}

}  // namespace

absl::StatusOr<common::v1::App> NewApp(const common::v1::App& input) {
  if (!input.id().empty()) return errors::InvalidField("id", "can't be given when an app is created; leave it out");
  RETURN_IF_ERROR(CheckAppName(input.name()));
  common::v1::App app;
  app.set_name(input.name());
  RETURN_IF_ERROR(MergeConfig(input.config(), *app.mutable_config()));
  RETURN_IF_ERROR(MergeAnnotations(input.annotations(), *app.mutable_annotations()));
  return app;
}

absl::StatusOr<common::v1::App> MergeApp(const common::v1::App& current, const common::v1::App& update) {
  if (!update.name().empty() && update.name() != current.name()) {
    return errors::InvalidField("name", absl::StrCat("can't be changed from '", current.name(), "' to '", update.name(),
                                                     "': an app's name is immutable; create another app"));
  }
  common::v1::App app = current;
  RETURN_IF_ERROR(MergeConfig(update.config(), *app.mutable_config()));
  RETURN_IF_ERROR(MergeAnnotations(update.annotations(), *app.mutable_annotations()));
  return app;
}

absl::StatusOr<common::v1::Function> NewFunction(const common::v1::Function& input) {
  if (!input.id().empty()) return errors::InvalidField("id", "can't be given when a function is created; leave it out");
  RETURN_IF_ERROR(CheckFunctionName(input.name()));
  common::v1::Function function;
  function.set_name(input.name());
  function.set_app_id(input.app_id());
  function.set_image(input.image());
  function.set_image_id(input.image_id());
  function.set_memory_mib(input.memory_mib() == 0 ? limits::kDefaultMemoryMib : input.memory_mib());
  function.set_cpu_millis(input.cpu_millis());
  *function.mutable_timeout() = input.has_timeout() ? input.timeout() : ToProto(limits::kDefaultTimeout);
  *function.mutable_idle_timeout() =
      input.has_idle_timeout() ? input.idle_timeout() : ToProto(limits::kDefaultIdleTimeout);
  *function.mutable_checkpoint() = input.checkpoint();
  Normalise(*function.mutable_checkpoint());
  if (input.has_freeze()) SetFreeze(input.freeze(), function);
  RETURN_IF_ERROR(MergeConfig(input.config(), *function.mutable_config()));
  RETURN_IF_ERROR(MergeAnnotations(input.annotations(), *function.mutable_annotations()));
  RETURN_IF_ERROR(CheckFunction(function));
  return function;
}

absl::StatusOr<common::v1::Function> MergeFunction(const common::v1::Function& current,
                                                   const common::v1::Function& update) {
  common::v1::Function function = current;
  if (!update.image().empty() && update.image() != current.image()) {
    function.set_image(update.image());
    function.clear_image_id();
  }
  if (!update.image_id().empty()) function.set_image_id(update.image_id());
  if (update.memory_mib() != 0) function.set_memory_mib(update.memory_mib());
  if (update.cpu_millis() != 0) function.set_cpu_millis(update.cpu_millis());
  if (update.has_timeout()) *function.mutable_timeout() = update.timeout();
  if (update.has_idle_timeout()) *function.mutable_idle_timeout() = update.idle_timeout();
  if (update.has_checkpoint()) {
    *function.mutable_checkpoint() = update.checkpoint();
    Normalise(*function.mutable_checkpoint());
  }
  if (update.has_freeze()) SetFreeze(update.freeze(), function);
  RETURN_IF_ERROR(MergeConfig(update.config(), *function.mutable_config()));
  RETURN_IF_ERROR(MergeAnnotations(update.annotations(), *function.mutable_annotations()));
  RETURN_IF_ERROR(CheckFunction(function));
  return function;
}

bool IsDigestId(absl::string_view id) {
  if (id.size() != 32) return false;
  for (char c : id) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c)) && (c < 'a' || c > 'f')) return false;
  }
  return true;
}

bool IsSecretName(absl::string_view name) {
  if (name.empty() || name.size() > limits::kMaxSecretNameBytes || name == "." || name == "..") return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.';
  });
}

absl::Status CheckReportedSnapshot(const common::v1::SnapshotInfo& snapshot) {
  if (!IsDigestId(snapshot.id())) {
    return errors::InvalidField("snapshot.id", absl::StrCat("'", absl::string_view(snapshot.id()).substr(0, 80),
                                                            "' is not 32 lower-case hex digits"));
  }
  if (!IsDigestId(snapshot.version_id())) {
    return errors::InvalidField("snapshot.version_id",
                                absl::StrCat("'", absl::string_view(snapshot.version_id()).substr(0, 80),
                                             "' is not 32 lower-case hex digits"));
  }
  if (snapshot.engine().size() > limits::kMaxReportedErrorBytes ||
      snapshot.architecture().size() > limits::kMaxReportedErrorBytes) {
    return errors::InvalidField("snapshot.engine", "or snapshot.architecture is longer than any is");
  }
  if (snapshot.cpu_features_size() > static_cast<int>(limits::kMaxCpuFeatures)) {
    return errors::InvalidField("snapshot.cpu_features", absl::StrCat("are ", snapshot.cpu_features_size(),
                                                                      "; no CPU has more than ", limits::kMaxCpuFeatures));
  }
  return absl::OkStatus();
}

}  // namespace thaw::scheduler
