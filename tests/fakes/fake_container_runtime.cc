#include "tests/fakes/fake_container_runtime.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/crypto/sha256.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::testing {
namespace {

using agent::ContainerInfo;
using agent::ContainerSpec;
using nlohmann::json;

constexpr std::size_t kBlock = 512;

// Name to contents of the regular files of an archive; nothing when it is none.
std::optional<std::map<std::string, std::string>> ReadTar(const std::string& tar) {
  std::map<std::string, std::string> files;
  std::size_t at = 0;
  while (at + kBlock <= tar.size()) {
    if (tar[at] == '\0') return files;
    if (tar.compare(at + 257, 5, "ustar") != 0) return std::nullopt;
    const std::string name = tar.c_str() + at;
    const std::size_t size = std::strtoull(tar.substr(at + 124, 11).c_str(), nullptr, 8);
    const char type = tar[at + 156];
    at += kBlock;
    if (at + size > tar.size()) return std::nullopt;
    if (type == '0') files[name] = tar.substr(at, size);
    at += (size + kBlock - 1) / kBlock * kBlock;
  }
  return std::nullopt;
}

std::vector<std::string> Texts(const json& object, const char* key) {
  return object.contains(key) && object[key].is_array() ? object[key].get<std::vector<std::string>>()
                                                        : std::vector<std::string>();
}

std::string WithTag(const std::string& reference) {
  const std::size_t slash = reference.rfind('/');
  const std::size_t colon = reference.rfind(':');
  const bool tagged = colon != std::string::npos && (slash == std::string::npos || colon > slash);
  return tagged ? reference : absl::StrCat(reference, ":latest");
}

}  // namespace

absl::Status FakeContainerRuntime::Begin(Op op, const std::string& object, absl::Time deadline) {
  std::function<absl::Status(const std::string&)> hook;
  {
    absl::MutexLock lock(&mu_);
    ++calls_[op];
    if (engine_down_) {
      return WithReason(absl::UnavailableError("no container engine answers at the fake: it was set down; start it"),
                        reason::kEngineUnavailable);
    }
    if (clock_ != nullptr && clock_->Now() >= deadline) {
      return absl::DeadlineExceededError("the fake engine did not finish in time; it may still do so");
    }
    auto& failures = failures_[op];
    if (!failures.empty()) {
      const absl::Status status = failures.front();
      failures.erase(failures.begin());
      return status;
    }
    const auto it = hooks_.find(op);
    if (it != hooks_.end()) hook = it->second;
  }
  if (hook) RETURN_IF_ERROR(hook(object));
  return absl::OkStatus();
}

void FakeContainerRuntime::FailNext(Op op, absl::Status status, int times) {
  absl::MutexLock lock(&mu_);
  for (int i = 0; i < times; ++i) failures_[op].push_back(status);
}

void FakeContainerRuntime::SetEngineDown(bool down) {
  absl::MutexLock lock(&mu_);
  engine_down_ = down;
}

void FakeContainerRuntime::SetHook(Op op, std::function<absl::Status(const std::string&)> hook) {
  absl::MutexLock lock(&mu_);
  hooks_[op] = std::move(hook);
}

void FakeContainerRuntime::OnStart(std::function<absl::Status(const ContainerInfo&, const ContainerSpec&)> hook) {
  absl::MutexLock lock(&mu_);
  on_start_ = std::move(hook);
}

void FakeContainerRuntime::OnStop(std::function<void(const ContainerInfo&)> hook) {
  absl::MutexLock lock(&mu_);
  on_stop_ = std::move(hook);
}

void FakeContainerRuntime::SetHostLacks(std::set<std::string> capabilities) {
  absl::MutexLock lock(&mu_);
  host_lacks_ = std::move(capabilities);
}

void FakeContainerRuntime::SetEngineDoesNotKnow(std::set<std::string> capabilities) {
  absl::MutexLock lock(&mu_);
  unknown_capabilities_ = std::move(capabilities);
}

std::string FakeContainerRuntime::AddImage(const agent::ImageContent& content) {
  const agent::ImageArchive archive = agent::MakeImageArchive(content);
  LoadArchive(archive.tar).IgnoreError();  // Cannot fail: the archive is of our own making.
  return archive.id;
}

void FakeContainerRuntime::AddToRegistry(const std::string& reference, const agent::ImageContent& content) {
  agent::ImageContent tagged = content;
  tagged.tags = {WithTag(reference)};
  absl::MutexLock lock(&mu_);
  registry_[WithTag(reference)] = agent::MakeImageArchive(tagged);
}

void FakeContainerRuntime::Exit(const std::string& id, int exit_code, bool oom_killed) {
  std::function<void(const ContainerInfo&)> hook;
  ContainerInfo info;
  {
    absl::MutexLock lock(&mu_);
    Container* const container = Find(id);
    if (container == nullptr || !container->info.running) return;
    container->info.running = false;
    container->info.exit_code = exit_code;
    container->info.oom_killed = oom_killed;
    info = container->info;
    hook = on_stop_;
  }
  if (hook) hook(info);
}

void FakeContainerRuntime::AppendLog(const std::string& id, const std::string& text) {
  absl::MutexLock lock(&mu_);
  Container* const container = Find(id);
  if (container != nullptr) container->log += text;
}

int FakeContainerRuntime::Calls(Op op) const {
  absl::MutexLock lock(&mu_);
  const auto it = calls_.find(op);
  return it == calls_.end() ? 0 : it->second;
}

ContainerSpec FakeContainerRuntime::SpecOf(const std::string& id) const {
  absl::MutexLock lock(&mu_);
  const Container* const container = Find(id);
  if (container == nullptr) {
    std::fprintf(stderr, "the fake has no container %s\n", id.c_str());
    std::abort();
  }
  return container->spec;
}

std::vector<std::string> FakeContainerRuntime::ContainerIds() const {
  absl::MutexLock lock(&mu_);
  std::vector<std::pair<int, std::string>> ordered;
  for (const auto& [id, container] : containers_) ordered.emplace_back(container.order, id);
  std::sort(ordered.begin(), ordered.end());
  std::vector<std::string> ids;
  for (auto& [order, id] : ordered) ids.push_back(std::move(id));
  return ids;
}

std::vector<std::string> FakeContainerRuntime::RunningContainerIds() const {
  std::vector<std::string> running;
  for (const std::string& id : ContainerIds()) {
    absl::MutexLock lock(&mu_);
    const Container* const container = Find(id);
    if (container != nullptr && container->info.running) running.push_back(id);
  }
  return running;
}

FakeContainerRuntime::Container* FakeContainerRuntime::Find(const std::string& id) {
  for (auto& [key, container] : containers_) {
    if (key == id || container.info.name == id) return &container;
  }
  return nullptr;
}

const FakeContainerRuntime::Container* FakeContainerRuntime::Find(const std::string& id) const {
  for (const auto& [key, container] : containers_) {
    if (key == id || container.info.name == id) return &container;
  }
  return nullptr;
}

FakeContainerRuntime::Image* FakeContainerRuntime::FindImage(const std::string& image) {
  const auto it = images_.find(image);
  if (it != images_.end()) return &it->second;
  for (auto& [id, each] : images_) {
    const auto& tags = each.info.tags;
    if (std::find(tags.begin(), tags.end(), WithTag(image)) != tags.end()) return &each;
  }
  return nullptr;
}

absl::StatusOr<agent::EngineInfo> FakeContainerRuntime::GetEngineInfo(absl::Time deadline) {
  RETURN_IF_ERROR(Begin(Op::kGetEngineInfo, "", deadline));
  return agent::EngineInfo{"fake", "x86_64", "2", "memory"};
}

absl::StatusOr<std::string> FakeContainerRuntime::Create(const ContainerSpec& spec, absl::Time deadline) {
  RETURN_IF_ERROR(Begin(Op::kCreate, spec.name, deadline));
  absl::MutexLock lock(&mu_);
  if (spec.name.empty()) return absl::InvalidArgumentError("'' is no container's id or name");
  if (Find(spec.name) != nullptr) {
    return absl::AlreadyExistsError(absl::StrCat("can't create container ", spec.name, ": the name is in use"));
  }
  const Image* const image = FindImage(spec.image_id);
  if (image == nullptr) {
    return absl::NotFoundError(absl::StrCat("can't create container ", spec.name, ": no such image: ", spec.image_id));
  }
  if (!spec.privileged) {
    for (const std::string& capability : spec.capabilities) {
      if (unknown_capabilities_.count(capability) == 0) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("can't create container ", spec.name, ": invalid CapAdd: unknown capability: \"CAP_", capability,
                       "\""));
    }
  }
  Container container;
  container.order = next_order_++;
  container.info.id = Sha256Hex(absl::StrCat("container ", container.order));
  container.info.name = spec.name;
  container.info.image_id = image->info.id;
  container.info.labels = image->info.labels;
  for (const auto& [key, value] : spec.labels) container.info.labels[key] = value;
  container.spec = spec;
  const std::string id = container.info.id;
  containers_[id] = std::move(container);
  return id;
}

absl::Status FakeContainerRuntime::Start(const std::string& id, absl::Time deadline) {
  RETURN_IF_ERROR(Begin(Op::kStart, id, deadline));
  std::function<absl::Status(const ContainerInfo&, const ContainerSpec&)> hook;
  ContainerInfo info;
  ContainerSpec spec;
  {
    absl::MutexLock lock(&mu_);
    Container* const container = Find(id);
    if (container == nullptr) return absl::NotFoundError(absl::StrCat("can't start container ", id, ": no such container"));
    if (container->info.running) return absl::OkStatus();
    bool lacks = container->spec.privileged && !host_lacks_.empty();
    if (!container->spec.privileged) {
      for (const std::string& capability : container->spec.capabilities) lacks |= host_lacks_.count(capability) > 0;
    }
    if (lacks) {
      return absl::FailedPreconditionError(
          absl::StrCat("can't start container ", id, ": unable to apply caps: operation not permitted"));
    }
    container->info.running = true;
    container->info.exit_code = 0;
    container->started = true;
    info = container->info;
    spec = container->spec;
    hook = on_start_;
  }
  if (!hook) return absl::OkStatus();
  const absl::Status status = hook(info, spec);
  if (!status.ok()) {
    absl::MutexLock lock(&mu_);
    Container* const container = Find(id);
    if (container != nullptr) container->info.running = false;
  }
  return status;
}

absl::Status FakeContainerRuntime::Remove(const std::string& id, absl::Time deadline) {
  RETURN_IF_ERROR(Begin(Op::kRemove, id, deadline));
  std::function<void(const ContainerInfo&)> hook;
  ContainerInfo info;
  {
    absl::MutexLock lock(&mu_);
    Container* const container = Find(id);
    if (container == nullptr) return absl::OkStatus();
    info = container->info;
    if (info.running) hook = on_stop_;
    info.running = false;
    containers_.erase(info.id);
  }
  if (hook) hook(info);
  return absl::OkStatus();
}

absl::StatusOr<ContainerInfo> FakeContainerRuntime::Inspect(const std::string& id, absl::Time deadline) {
  RETURN_IF_ERROR(Begin(Op::kInspect, id, deadline));
  absl::MutexLock lock(&mu_);
  const Container* const container = Find(id);
  if (container == nullptr) {
    return absl::NotFoundError(absl::StrCat("can't inspect container ", id, ": no such container"));
  }
  return container->info;
}

absl::StatusOr<std::vector<ContainerInfo>> FakeContainerRuntime::List(const std::map<std::string, std::string>& labels,
                                                                      absl::Time deadline) {
  RETURN_IF_ERROR(Begin(Op::kList, "", deadline));
  absl::MutexLock lock(&mu_);
  std::vector<ContainerInfo> list;
  for (const auto& [id, container] : containers_) {
    const auto& own = container.info.labels;
    const bool all = std::all_of(labels.begin(), labels.end(), [&own](const auto& wanted) {
      const auto it = own.find(wanted.first);
      return it != own.end() && it->second == wanted.second;
    });
    if (all) list.push_back(container.info);
  }
  return list;
}

absl::StatusOr<std::string> FakeContainerRuntime::TailLog(const std::string& id, int lines, absl::Time deadline) {
  RETURN_IF_ERROR(Begin(Op::kTailLog, id, deadline));
  absl::MutexLock lock(&mu_);
  const Container* const container = Find(id);
  if (container == nullptr) {
    return absl::NotFoundError(absl::StrCat("can't read the log of container ", id, ": no such container"));
  }
  std::vector<std::string> all = absl::StrSplit(container->log, '\n');
  if (!all.empty() && all.back().empty()) all.pop_back();
  const std::size_t wanted = static_cast<std::size_t>(std::max(lines, 0));
  if (all.size() > wanted) all.erase(all.begin(), all.end() - static_cast<std::ptrdiff_t>(wanted));
  std::string tail;
  for (const std::string& line : all) absl::StrAppend(&tail, line, "\n");
  return tail;
}

absl::StatusOr<agent::ImageInfo> FakeContainerRuntime::InspectImage(const std::string& image, absl::Time deadline) {
  RETURN_IF_ERROR(Begin(Op::kInspectImage, image, deadline));
  absl::MutexLock lock(&mu_);
  const Image* const found = FindImage(image);
  if (found == nullptr) return absl::NotFoundError(absl::StrCat("can't inspect image ", image, ": no such image"));
  return found->info;
}

absl::StatusOr<std::vector<std::string>> FakeContainerRuntime::ListImageIds(absl::Time deadline) {
  RETURN_IF_ERROR(Begin(Op::kListImageIds, "", deadline));
  absl::MutexLock lock(&mu_);
  std::vector<std::string> ids;
  for (const auto& [id, image] : images_) ids.push_back(id);
  return ids;
}

absl::Status FakeContainerRuntime::PullImage(const std::string& reference, absl::Time deadline) {
  RETURN_IF_ERROR(Begin(Op::kPullImage, reference, deadline));
  std::string tar;
  {
    absl::MutexLock lock(&mu_);
    const auto it = registry_.find(WithTag(reference));
    if (it == registry_.end()) {
      return WithReason(absl::NotFoundError(absl::StrCat("can't pull image ", reference,
                                                         ": manifest unknown; push it to that registry, or deploy it "
                                                         "from a machine that has it")),
                        reason::kImageUnavailable);
    }
    tar = it->second.tar;
  }
  return LoadArchive(tar);
}

absl::Status FakeContainerRuntime::ExportImage(const std::string& image,
                                               absl::FunctionRef<absl::Status(absl::string_view)> sink,
                                               absl::Time deadline) {
  RETURN_IF_ERROR(Begin(Op::kExportImage, image, deadline));
  std::string tar;
  {
    absl::MutexLock lock(&mu_);
    const Image* const found = FindImage(image);
    if (found == nullptr) return absl::NotFoundError(absl::StrCat("can't export image ", image, ": no such image"));
    const std::string config_name = absl::StrCat(found->info.id.substr(7), ".json");
    json entry = {{"Config", config_name}, {"Layers", json::array({"layer.tar"})}, {"RepoTags", json::array()}};
    if (!absl::StartsWith(image, "sha256:")) entry["RepoTags"].push_back(WithTag(image));
    tar = absl::StrCat(agent::TarEntry(config_name, found->config), agent::TarEntry("layer.tar", found->layer),
                       agent::TarEntry("manifest.json", json::array({std::move(entry)}).dump()), agent::TarEnd());
  }
  constexpr std::size_t kPart = 1000;
  for (std::size_t at = 0; at < tar.size(); at += kPart) {
    RETURN_IF_ERROR(sink(absl::string_view(tar).substr(at, kPart)));
  }
  return absl::OkStatus();
}

absl::Status FakeContainerRuntime::ImportImage(absl::FunctionRef<absl::StatusOr<std::string>()> source,
                                               absl::Time deadline) {
  RETURN_IF_ERROR(Begin(Op::kImportImage, "", deadline));
  std::string tar;
  while (true) {
    ASSIGN_OR_RETURN(const std::string part, source());
    if (part.empty()) break;
    tar += part;
  }
  return LoadArchive(tar);
}

absl::Status FakeContainerRuntime::LoadArchive(const std::string& tar) {
  const auto files = ReadTar(tar);
  const auto refuse = [] { return absl::FailedPreconditionError("can't load an image: it is no image archive"); };
  if (!files.has_value() || files->count("manifest.json") == 0) return refuse();
  const json manifest = json::parse(files->at("manifest.json"), nullptr, false);
  if (!manifest.is_array()) return refuse();
  for (const json& entry : manifest) {
    const auto config = files->find(entry.value("Config", ""));
    if (config == files->end()) return refuse();
    const json description = json::parse(config->second, nullptr, false);
    if (!description.is_object() || !description.contains("config")) return refuse();
    const json& content = description["config"];
    Image image;
    image.info.id = absl::StrCat("sha256:", Sha256Hex(config->second));
    image.info.entrypoint = Texts(content, "Entrypoint");
    image.info.cmd = Texts(content, "Cmd");
    image.info.env = Texts(content, "Env");
    image.info.working_dir = content.value("WorkingDir", "");
    if (content.contains("Labels") && content["Labels"].is_object()) {
      image.info.labels = content["Labels"].get<std::map<std::string, std::string>>();
    }
    image.info.has_volumes = content.contains("Volumes") && content["Volumes"].is_object() && !content["Volumes"].empty();
    image.config = config->second;
    for (const std::string& layer : Texts(entry, "Layers")) {
      if (files->count(layer) == 0) return refuse();
      image.layer = files->at(layer);
    }
    image.info.size_bytes = image.layer.size();
    const std::vector<std::string> tags = Texts(entry, "RepoTags");
    absl::MutexLock lock(&mu_);
    Image& kept = images_.emplace(image.info.id, image).first->second;
    for (const std::string& tag : tags) {
      for (auto& [id, other] : images_) {
        auto& own = other.info.tags;
        own.erase(std::remove(own.begin(), own.end(), tag), own.end());
      }
      kept.info.tags.push_back(tag);
    }
  }
  return absl::OkStatus();
}

absl::Status FakeContainerRuntime::TagImage(const std::string& image, const std::string& tag, absl::Time deadline) {
  RETURN_IF_ERROR(Begin(Op::kTagImage, image, deadline));
  absl::MutexLock lock(&mu_);
  Image* const found = FindImage(image);
  if (found == nullptr) return absl::NotFoundError(absl::StrCat("can't tag image ", image, ": no such image"));
  for (auto& [id, other] : images_) {
    auto& tags = other.info.tags;
    tags.erase(std::remove(tags.begin(), tags.end(), WithTag(tag)), tags.end());
  }
  found->info.tags.push_back(WithTag(tag));
  return absl::OkStatus();
}

absl::Status FakeContainerRuntime::RemoveImage(const std::string& image, absl::Time deadline) {
  RETURN_IF_ERROR(Begin(Op::kRemoveImage, image, deadline));
  absl::MutexLock lock(&mu_);
  Image* const found = FindImage(image);
  if (found == nullptr) return absl::OkStatus();
  auto& tags = found->info.tags;
  if (images_.count(image) == 0 && tags.size() > 1) {
    tags.erase(std::remove(tags.begin(), tags.end(), WithTag(image)), tags.end());
    return absl::OkStatus();
  }
  for (const auto& [id, container] : containers_) {
    if (container.info.image_id != found->info.id) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("can't remove image ", image, ": container ", container.info.name, " uses it"));
  }
  images_.erase(found->info.id);
  return absl::OkStatus();
}

}  // namespace thaw::testing
