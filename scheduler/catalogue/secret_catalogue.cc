#include "scheduler/catalogue/secret_catalogue.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/rpc/client.h"
#include "common/status/status_macros.h"
#include "scheduler/catalogue/validation.h"
#include "scheduler/errors.h"
#include "scheduler/limits.h"

namespace thaw::scheduler {
namespace {

// What a sealed value is bound to; an app's id has no '/'.
std::string SealContext(absl::string_view app_id, absl::string_view name) { return absl::StrCat(app_id, "/", name); }

absl::Status CheckName(absl::string_view name) {
  if (IsSecretName(name)) return absl::OkStatus();
  return errors::InvalidField("name", absl::StrCat("'", absl::CEscape(name.substr(0, 64)), "' is not a secret's name; use 1 to ",
                                                   limits::kMaxSecretNameBytes, " letters, digits, '_', '-' or '.'"));
}

}  // namespace

SecretCatalogue::SecretCatalogue(Store& store, const Clock& clock, SealingKey key, const StoreContents& contents)
    : store_(store), clock_(clock), key_(std::move(key)) {
  absl::MutexLock lock(&mu_);
  for (const SecretRow& row : contents.secrets) {
    Entry& entry = by_app_[row.app_id][row.name];
    entry.updated_at = row.updated_at;
    entry.size_bytes = row.size_bytes;
    if (auto value = key_.Open(row.sealed, SealContext(row.app_id, row.name)); value.ok()) entry.value = *std::move(value);
  }
}

absl::StatusOr<common::v1::Secret> SecretCatalogue::Set(const common::v1::SetSecretRequest& request) {
  RETURN_IF_ERROR(CheckName(request.name()));
  if (request.value().empty()) return errors::InvalidField("value", "is empty; give the secret a value");
  if (request.value().size() > limits::kMaxSecretBytes) {
    return errors::InvalidField("value", absl::StrCat("has ", request.value().size(), " bytes; a secret has at most ",
                                                      limits::kMaxSecretBytes));
  }
  {
    absl::ReaderMutexLock lock(&mu_);
    if (const auto app = by_app_.find(request.app_id()); app != by_app_.end()) {
      std::size_t count = 1, bytes = request.value().size();
      for (const auto& [name, entry] : app->second) {
        if (name == request.name()) continue;
        ++count;
        bytes += entry.size_bytes;
      }
      if (count > limits::kMaxSecretsPerApp) return errors::TooMany("secrets in an app", limits::kMaxSecretsPerApp);
      if (bytes > limits::kMaxSecretBytesPerApp) {
        return errors::TooMany("bytes of secrets in an app", limits::kMaxSecretBytesPerApp);
      }
    }
  }
  Entry entry{request.value(), clock_.Now(), static_cast<std::uint32_t>(request.value().size())};
  RETURN_IF_ERROR(store_.Apply(WriteBatch().Put(
      SecretRow{request.app_id(), request.name(), entry.updated_at, entry.size_bytes,
                key_.Seal(request.value(), SealContext(request.app_id(), request.name()))})));
  common::v1::Secret secret;
  secret.set_app_id(request.app_id());
  secret.set_name(request.name());
  *secret.mutable_updated_at() = ToProto(entry.updated_at);
  secret.set_size_bytes(entry.size_bytes);
  absl::MutexLock lock(&mu_);
  by_app_[request.app_id()][request.name()] = std::move(entry);
  return secret;
}

absl::Status SecretCatalogue::Delete(absl::string_view app_id, absl::string_view name) {
  {
    absl::ReaderMutexLock lock(&mu_);
    const auto app = by_app_.find(app_id);
    if (app == by_app_.end() || !app->second.contains(name)) return errors::SecretNotFound(name);
  }
  RETURN_IF_ERROR(store_.Apply(WriteBatch().RemoveSecret(std::string(app_id), std::string(name))));
  absl::MutexLock lock(&mu_);
  const auto app = by_app_.find(app_id);
  app->second.erase(app->second.find(name));
  if (app->second.empty()) by_app_.erase(app);
  return absl::OkStatus();
}

absl::Status SecretCatalogue::DropApp(absl::string_view app_id) { return Drop({std::string(app_id)}); }

absl::Status SecretCatalogue::DropAllBut(const std::set<std::string>& app_ids) {
  std::vector<std::string> gone;
  {
    absl::ReaderMutexLock lock(&mu_);
    for (const auto& [app_id, secrets] : by_app_) {
      if (!app_ids.contains(app_id)) gone.push_back(app_id);
    }
  }
  return Drop(gone);
}

absl::Status SecretCatalogue::Drop(const std::vector<std::string>& app_ids) {
  WriteBatch batch;
  {
    absl::ReaderMutexLock lock(&mu_);
    for (const std::string& app_id : app_ids) {
      const auto app = by_app_.find(app_id);
      if (app == by_app_.end()) continue;
      for (const auto& [name, entry] : app->second) batch.RemoveSecret(app_id, name);
    }
  }
  if (batch.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(store_.Apply(batch));
  absl::MutexLock lock(&mu_);
  for (const std::string& app_id : app_ids) by_app_.erase(app_id);
  return absl::OkStatus();
}

std::vector<common::v1::Secret> SecretCatalogue::List(absl::string_view app_id) const {
  std::vector<common::v1::Secret> list;
  absl::ReaderMutexLock lock(&mu_);
  const auto app = by_app_.find(app_id);
  if (app == by_app_.end()) return list;
  for (const auto& [name, entry] : app->second) {
    common::v1::Secret& secret = list.emplace_back();
    secret.set_app_id(std::string(app_id));
    secret.set_name(name);
    *secret.mutable_updated_at() = ToProto(entry.updated_at);
    secret.set_size_bytes(entry.size_bytes);
  }
  return list;
}

std::optional<std::string> SecretCatalogue::Value(absl::string_view app_id, absl::string_view name) const {
  absl::ReaderMutexLock lock(&mu_);
  const auto app = by_app_.find(app_id);
  if (app == by_app_.end()) return std::nullopt;
  const auto secret = app->second.find(name);
  return secret == app->second.end() ? std::nullopt : secret->second.value;
}

std::vector<std::string> SecretCatalogue::UnreadableNames() const {
  std::vector<std::string> names;
  absl::ReaderMutexLock lock(&mu_);
  for (const auto& [app_id, secrets] : by_app_) {
    for (const auto& [name, entry] : secrets) {
      if (!entry.value.has_value()) names.push_back(SealContext(app_id, name));
    }
  }
  return names;
}

}  // namespace thaw::scheduler
