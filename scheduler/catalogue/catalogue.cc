#include "scheduler/catalogue/catalogue.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/ids/ids.h"
#include "common/rpc/client.h"
#include "common/status/status_macros.h"
#include "scheduler/catalogue/page_token.h"
#include "scheduler/catalogue/validation.h"
#include "scheduler/catalogue/version.h"
#include "scheduler/errors.h"
#include "scheduler/limits.h"

namespace thaw::scheduler {
namespace {

using google::protobuf::util::MessageDifferencer;

// How errors name a function that was looked up by `id` or by names.
std::string NameForError(absl::string_view id, absl::string_view app, absl::string_view name) {
  return id.empty() ? absl::StrCat(app, "/", name) : std::string(id);
}

}  // namespace

Catalogue::Catalogue(Store& store, const Clock& clock, SchedulerMetrics& metrics, const StoreContents& contents)
    : store_(store), clock_(clock), metrics_(metrics) {
  absl::MutexLock lock(&mu_);
  for (const auto& app : contents.apps) Insert(app);
  absl::flat_hash_map<std::string, const common::v1::VersionSpec*> specs;
  for (const auto& version : contents.versions) specs[version.version_id()] = &version;
  for (const auto& stored : contents.functions) {
    const common::v1::App* app = FindApp(stored.app_id(), "");
    if (app == nullptr) continue;  // A batch deletes an app with its functions: this can only be another program's doing.
    common::v1::Function function = stored;
    function.set_app_name(app->name());
    // A version keeps the id it was stored under, whatever way this program makes digests: its snapshots bear that id.
    if (const auto it = specs.find(function.version_id()); it != specs.end()) {
      versions_[function.version_id()] = std::make_shared<const common::v1::VersionSpec>(*it->second);
    } else if (auto spec = MakeVersion(*app, function); spec.has_value()) {
      function.set_version_id(spec->version_id());
      versions_[spec->version_id()] = std::make_shared<const common::v1::VersionSpec>(*std::move(spec));
    } else {
      function.clear_version_id();
    }
    Insert(function);
  }
  UpdateGauges();
}

absl::StatusOr<common::v1::App> Catalogue::CreateApp(const common::v1::App& input) {
  ASSIGN_OR_RETURN(common::v1::App app, NewApp(input));
  absl::MutexLock writing(&write_mu_);
  {
    absl::ReaderMutexLock lock(&mu_);
    if (FindApp("", app.name()) != nullptr) return errors::AppExists(app.name());
    if (apps_.size() >= limits::kMaxApps) return errors::TooMany("apps", limits::kMaxApps);
  }
  app.set_id(NewId());
  *app.mutable_created_at() = ToProto(clock_.Now());
  *app.mutable_updated_at() = app.created_at();
  RETURN_IF_ERROR(store_.Apply(WriteBatch().Put(app)));
  absl::MutexLock lock(&mu_);
  Insert(app);
  UpdateGauges();
  return app;
}

absl::StatusOr<common::v1::App> Catalogue::UpdateApp(const common::v1::App& update) {
  absl::MutexLock writing(&write_mu_);
  common::v1::App app;
  std::vector<common::v1::Function> functions;
  {
    absl::ReaderMutexLock lock(&mu_);
    const common::v1::App* current = FindApp(update.id(), update.name());
    if (current == nullptr) return errors::AppNotFound(update.id().empty() ? update.name() : update.id());
    ASSIGN_OR_RETURN(app, MergeApp(*current, update));
    if (MessageDifferencer::Equals(app, *current)) return app;
    if (const auto it = functions_by_app_.find(app.id()); it != functions_by_app_.end()) {
      for (const auto& entry : it->second) functions.push_back(*entry.second);
    }
  }
  *app.mutable_updated_at() = ToProto(clock_.Now());
  WriteBatch batch;
  batch.Put(app);
  std::vector<FunctionChange> changes;
  std::vector<common::v1::VersionSpec> specs;
  std::vector<common::v1::Function> changed_functions;
  for (auto& function : functions) {
    bool changed = false;
    FunctionChange change = Reversion(app, function, batch, specs, changed);
    if (!changed) continue;
    batch.Put(function);
    changes.push_back(std::move(change));
    changed_functions.push_back(std::move(function));
  }
  RETURN_IF_ERROR(store_.Apply(batch));
  {
    absl::MutexLock lock(&mu_);
    *apps_[app.id()] = app;
    for (const FunctionChange& change : changes) versions_.erase(change.old_version_id);
    for (auto& spec : specs) {
      const std::string id = spec.version_id();
      versions_[id] = std::make_shared<const common::v1::VersionSpec>(std::move(spec));
    }
    for (const auto& function : changed_functions) *functions_[function.id()] = function;
  }
  Tell(changes);
  return app;
}

absl::Status Catalogue::DeleteApp(absl::string_view id) {
  absl::MutexLock writing(&write_mu_);
  WriteBatch batch;
  std::vector<FunctionChange> changes;
  common::v1::App app;
  {
    absl::ReaderMutexLock lock(&mu_);
    const common::v1::App* current = FindApp(id, "");
    if (current == nullptr) return errors::AppNotFound(id);
    app = *current;
    batch.Remove(WriteBatch::Table::kApp, app.id());
    if (const auto it = functions_by_app_.find(app.id()); it != functions_by_app_.end()) {
      for (const auto& [key, function] : it->second) {
        batch.Remove(WriteBatch::Table::kFunction, function->id());
        if (!function->version_id().empty()) batch.Remove(WriteBatch::Table::kVersion, function->version_id());
        changes.push_back({function->id(), function->version_id(), ""});
      }
    }
  }
  RETURN_IF_ERROR(store_.Apply(batch));
  {
    absl::MutexLock lock(&mu_);
    for (const FunctionChange& change : changes) EraseFunction(change.function_id);
    app_ids_by_name_.erase(app.name());
    functions_by_app_.erase(app.id());
    apps_.erase(app.id());
    UpdateGauges();
  }
  Tell(changes);
  return absl::OkStatus();
}

absl::StatusOr<common::v1::Function> Catalogue::CreateFunction(const common::v1::Function& input) {
  ASSIGN_OR_RETURN(common::v1::Function function, NewFunction(input));
  if (input.app_id().empty() && input.app_name().empty()) {
    return errors::InvalidField("app_id", "is missing; name the app of the function");
  }
  absl::MutexLock writing(&write_mu_);
  common::v1::App app;
  {
    absl::ReaderMutexLock lock(&mu_);
    const common::v1::App* found = FindApp(input.app_id(), input.app_name());
    if (found == nullptr) return errors::AppNotFound(input.app_id().empty() ? input.app_name() : input.app_id());
    app = *found;
    if (FindFunction("", app.id(), "", function.name()) != nullptr) {
      return errors::FunctionExists(app.name(), function.name());
    }
    if (functions_.size() >= limits::kMaxFunctions) return errors::TooMany("functions", limits::kMaxFunctions);
  }
  function.set_id(NewId());
  function.set_app_id(app.id());
  function.set_app_name(app.name());
  *function.mutable_created_at() = ToProto(clock_.Now());
  *function.mutable_updated_at() = function.created_at();
  RETURN_IF_ERROR(Keep(app, function));
  return function;
}

absl::StatusOr<common::v1::Function> Catalogue::UpdateFunction(const common::v1::Function& update) {
  absl::MutexLock writing(&write_mu_);
  common::v1::App app;
  common::v1::Function function;
  {
    absl::ReaderMutexLock lock(&mu_);
    const common::v1::Function* current =
        FindFunction(update.id(), update.app_id(), update.app_name(), update.name());
    if (current == nullptr) {
      return errors::FunctionNotFound(NameForError(
          update.id(), update.app_name().empty() ? update.app_id() : update.app_name(), update.name()));
    }
    ASSIGN_OR_RETURN(function, MergeFunction(*current, update));
    if (MessageDifferencer::Equals(function, *current)) return function;
    app = *FindApp(current->app_id(), "");
  }
  *function.mutable_updated_at() = ToProto(clock_.Now());
  RETURN_IF_ERROR(Keep(app, function));
  return function;
}

absl::Status Catalogue::Keep(const common::v1::App& app, common::v1::Function& function) {
  WriteBatch batch;
  std::vector<common::v1::VersionSpec> specs;
  bool changed = false;
  FunctionChange change = Reversion(app, function, batch, specs, changed);
  batch.Put(function);
  RETURN_IF_ERROR(store_.Apply(batch));
  bool is_new = false;
  {
    absl::MutexLock lock(&mu_);
    if (changed) versions_.erase(change.old_version_id);
    for (auto& spec : specs) {
      versions_[function.version_id()] = std::make_shared<const common::v1::VersionSpec>(std::move(spec));
    }
    const auto known = functions_.find(function.id());
    is_new = known == functions_.end();
    if (is_new) {
      Insert(function);
      UpdateGauges();
    } else {
      *known->second = function;
    }
  }
  if (changed || is_new) Tell({std::move(change)});
  return absl::OkStatus();
}

absl::Status Catalogue::DeleteFunction(absl::string_view id) {
  absl::MutexLock writing(&write_mu_);
  FunctionChange change;
  {
    absl::ReaderMutexLock lock(&mu_);
    const common::v1::Function* function = FindFunction(id, "", "", "");
    if (function == nullptr) return errors::FunctionNotFound(id);
    change = {function->id(), function->version_id(), ""};
  }
  WriteBatch batch;
  batch.Remove(WriteBatch::Table::kFunction, change.function_id);
  if (!change.old_version_id.empty()) batch.Remove(WriteBatch::Table::kVersion, change.old_version_id);
  RETURN_IF_ERROR(store_.Apply(batch));
  {
    absl::MutexLock lock(&mu_);
    EraseFunction(change.function_id);
    UpdateGauges();
  }
  Tell({std::move(change)});
  return absl::OkStatus();
}

absl::StatusOr<common::v1::App> Catalogue::GetApp(absl::string_view id, absl::string_view name) const {
  absl::ReaderMutexLock lock(&mu_);
  const common::v1::App* app = FindApp(id, name);
  if (app == nullptr) return errors::AppNotFound(id.empty() ? name : id);
  return *app;
}

absl::StatusOr<common::v1::ListAppsResponse> Catalogue::ListApps(const common::v1::ListAppsRequest& request) const {
  ASSIGN_OR_RETURN(const PagePosition position, DecodePageToken(request.page_token()));
  const std::uint32_t size = EffectivePageSize(request.page_size());
  common::v1::ListAppsResponse response;
  absl::ReaderMutexLock lock(&mu_);
  auto it = request.page_token().empty() ? app_ids_by_name_.begin() : app_ids_by_name_.upper_bound(position.name);
  for (; it != app_ids_by_name_.end(); ++it) {
    if (response.apps_size() == static_cast<int>(size)) {
      response.set_next_page_token(EncodePageToken({response.apps(response.apps_size() - 1).name(), ""}));
      break;
    }
    *response.add_apps() = *apps_.at(it->second);
  }
  return response;
}

absl::StatusOr<common::v1::Function> Catalogue::GetFunction(absl::string_view id, absl::string_view app_name,
                                                            absl::string_view name) const {
  absl::ReaderMutexLock lock(&mu_);
  const common::v1::Function* function = FindFunction(id, "", app_name, name);
  if (function == nullptr) return errors::FunctionNotFound(NameForError(id, app_name, name));
  return *function;
}

absl::StatusOr<common::v1::ListFunctionsResponse> Catalogue::ListFunctions(
    const common::v1::ListFunctionsRequest& request) const {
  ASSIGN_OR_RETURN(const PagePosition position, DecodePageToken(request.page_token()));
  const std::uint32_t size = EffectivePageSize(request.page_size());
  common::v1::ListFunctionsResponse response;
  absl::ReaderMutexLock lock(&mu_);
  const Order* order = &functions_by_name_;
  if (!request.app_id().empty() || !request.app_name().empty()) {
    const common::v1::App* app = FindApp(request.app_id(), request.app_name());
    if (app == nullptr) return errors::AppNotFound(request.app_id().empty() ? request.app_name() : request.app_id());
    const auto it = functions_by_app_.find(app->id());
    if (it == functions_by_app_.end()) return response;
    order = &it->second;
  }
  auto it = request.page_token().empty() ? order->begin() : order->upper_bound({position.name, position.id});
  for (; it != order->end(); ++it) {
    if (response.functions_size() == static_cast<int>(size)) {
      const auto& last = response.functions(response.functions_size() - 1);
      response.set_next_page_token(EncodePageToken({last.name(), last.id()}));
      break;
    }
    *response.add_functions() = *it->second;
  }
  return response;
}

absl::StatusOr<VersionPtr> Catalogue::CurrentVersion(absl::string_view function_id, absl::string_view path) const {
  absl::string_view app_name, name;
  if (function_id.empty()) {
    // An app's name has no '/', nor has a function's.
    const std::size_t slash = path.find('/');
    if (slash == absl::string_view::npos) {
      return errors::InvalidField("function", absl::StrCat("'", path, "' names no function; give an id or app/function"));
    }
    app_name = path.substr(0, slash);
    name = path.substr(slash + 1);
  }
  absl::ReaderMutexLock lock(&mu_);
  const common::v1::Function* function = FindFunction(function_id, "", app_name, name);
  if (function == nullptr) return errors::FunctionNotFound(function_id.empty() ? path : function_id);
  const auto it = versions_.find(function->version_id());
  if (it == versions_.end()) {
    return errors::FunctionHasNoImage(absl::StrCat(function->app_name(), "/", function->name()));
  }
  return it->second;
}

VersionPtr Catalogue::FindVersion(absl::string_view version_id) const {
  absl::ReaderMutexLock lock(&mu_);
  const auto it = versions_.find(version_id);
  return it == versions_.end() ? nullptr : it->second;
}

std::map<std::string, std::string> Catalogue::RestoreTimeConfigOf(absl::string_view version_id) const {
  absl::ReaderMutexLock lock(&mu_);
  const auto it = versions_.find(version_id);
  if (it == versions_.end()) return {};
  const common::v1::Function* function = FindFunction(it->second->function_id(), "", "", "");
  const common::v1::App* app = FindApp(it->second->app_id(), "");
  if (function == nullptr || app == nullptr) return {};
  return RestoreTimeConfig(*app, *function);
}

std::vector<VersionPtr> Catalogue::LiveVersions() const {
  absl::ReaderMutexLock lock(&mu_);
  std::vector<VersionPtr> versions;
  versions.reserve(versions_.size());
  for (const auto& entry : versions_) versions.push_back(entry.second);
  return versions;
}

const common::v1::App* Catalogue::FindApp(absl::string_view id, absl::string_view name) const {
  if (!id.empty()) {
    const auto it = apps_.find(id);
    return it == apps_.end() ? nullptr : it->second.get();
  }
  const auto it = app_ids_by_name_.find(name);
  return it == app_ids_by_name_.end() ? nullptr : apps_.at(it->second).get();
}

const common::v1::Function* Catalogue::FindFunction(absl::string_view id, absl::string_view app_id,
                                                    absl::string_view app_name, absl::string_view name) const {
  if (!id.empty()) {
    const auto it = functions_.find(id);
    return it == functions_.end() ? nullptr : it->second.get();
  }
  const common::v1::App* app = FindApp(app_id, app_name);
  if (app == nullptr) return nullptr;
  const auto order = functions_by_app_.find(app->id());
  if (order == functions_by_app_.end()) return nullptr;
  // Names are unique within an app: the first entry of that name is the only one.
  const auto it = order->second.lower_bound({std::string(name), ""});
  return it == order->second.end() || it->first.first != name ? nullptr : it->second;
}

FunctionChange Catalogue::Reversion(const common::v1::App& app, common::v1::Function& function, WriteBatch& batch,
                                    std::vector<common::v1::VersionSpec>& specs, bool& changed) const {
  FunctionChange change{function.id(), function.version_id(), ""};
  const VersionPtr old = FindVersion(function.version_id());
  auto spec = MakeVersion(app, function);
  if (spec.has_value()) change.new_version_id = spec->version_id();
  function.set_version_id(change.new_version_id);
  changed = spec.has_value() ? old == nullptr || !MessageDifferencer::Equals(*spec, *old) ||
                                   RestoreTimeConfigOf(change.old_version_id) != RestoreTimeConfig(app, function)
                             : old != nullptr;
  if (!changed) return change;
  if (!change.old_version_id.empty() && change.old_version_id != change.new_version_id) {
    batch.Remove(WriteBatch::Table::kVersion, change.old_version_id);
  }
  if (spec.has_value()) {
    batch.Put(*spec);
    specs.push_back(*std::move(spec));
  }
  return change;
}

void Catalogue::Insert(const common::v1::App& app) {
  app_ids_by_name_[app.name()] = app.id();
  apps_[app.id()] = std::make_unique<common::v1::App>(app);
}

void Catalogue::Insert(const common::v1::Function& function) {
  auto owned = std::make_unique<common::v1::Function>(function);
  const std::pair<std::string, std::string> key(function.name(), function.id());
  functions_by_app_[function.app_id()][key] = owned.get();
  functions_by_name_[key] = owned.get();
  functions_[function.id()] = std::move(owned);
}

void Catalogue::EraseFunction(const std::string& id) {
  const auto it = functions_.find(id);
  if (it == functions_.end()) return;
  const common::v1::Function& function = *it->second;
  const std::pair<std::string, std::string> key(function.name(), function.id());
  functions_by_name_.erase(key);
  if (const auto order = functions_by_app_.find(function.app_id()); order != functions_by_app_.end()) {
    order->second.erase(key);
    if (order->second.empty()) functions_by_app_.erase(order);
  }
  versions_.erase(function.version_id());
  functions_.erase(it);
}

void Catalogue::UpdateGauges() {
  metrics_.SetApps(apps_.size());
  metrics_.SetFunctions(functions_.size());
}

void Catalogue::Tell(const std::vector<FunctionChange>& changes) {
  if (listener_ != nullptr && !changes.empty()) listener_->OnFunctionsChanged(changes);
}

}  // namespace thaw::scheduler
