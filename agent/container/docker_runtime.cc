#include "agent/container/docker_runtime.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "agent/container/docker_messages.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::agent {
namespace {

constexpr std::size_t kMaxLogBytes = 64 << 10;
constexpr std::size_t kTarEndBytes = 1024;

std::string UrlEncode(absl::string_view text) {
  std::string encoded;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains("-._~", absl::string_view(&c, 1))) {
      encoded.push_back(c);
    } else {
      absl::StrAppendFormat(&encoded, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

bool OnlyOf(absl::string_view text, absl::string_view extra) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || extra.find(c) != absl::string_view::npos;
  });
}

// Names become parts of URL paths, so what could lead to another path is refused here.
absl::Status CheckContainer(const std::string& id) {
  if (!id.empty() && absl::ascii_isalnum(static_cast<unsigned char>(id[0])) && OnlyOf(id, "_.-")) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("'", id, "' is no container's id or name"));
}

absl::Status CheckImage(const std::string& image) {
  if (!image.empty() && absl::ascii_isalnum(static_cast<unsigned char>(image[0])) && OnlyOf(image, "_.-/:@") &&
      !absl::StrContains(image, "..") && !absl::StrContains(image, "//") && !absl::StrContains(image, "/.")) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("'", image, "' is no image reference; write it as [host/]name[:tag]"));
}

// "host:5000/name:tag" → {"host:5000/name", "tag"}; a digest counts as the tag.
std::pair<std::string, std::string> SplitReference(const std::string& reference) {
  const std::size_t digest = reference.find('@');
  if (digest != std::string::npos) return {reference.substr(0, digest), reference.substr(digest + 1)};
  const std::size_t colon = reference.rfind(':');
  const std::size_t slash = reference.rfind('/');
  if (colon == std::string::npos || (slash != std::string::npos && colon < slash)) return {reference, "latest"};
  return {reference.substr(0, colon), reference.substr(colon + 1)};
}

bool Succeeded(const EngineReply& reply) { return reply.status / 100 == 2; }

absl::Status Refused(const EngineReply& reply, absl::string_view act) {
  return docker::ErrorStatus(reply.status, docker::ErrorMessage(reply.body), act);
}

absl::Status PullError(int http_status, absl::string_view message, const std::string& reference) {
  absl::Status status = docker::ErrorStatus(http_status, message, absl::StrCat("pull image ", reference));
  if (status.code() == absl::StatusCode::kResourceExhausted) return status;
  const bool refused =
      http_status == 404 || absl::StrContains(message, "not found") || absl::StrContains(message, "manifest unknown") ||
      absl::StrContains(message, "denied") || absl::StrContains(message, "unauthorized");
  const std::string text =
      absl::StrCat(status.message(), refused ? "; push it to that registry, or deploy it from a machine that has it"
                                             : "; is the registry reachable from this node?");
  return WithReason(refused ? absl::NotFoundError(text) : absl::UnavailableError(text), reason::kImageUnavailable);
}

// Keeps the end of what went by: a tar archive ends with 1,024 zero bytes, an export that failed half way with the
// engine's error as JSON.
class Tail {
 public:
  void Add(absl::string_view part) {
    if (part.size() >= kTarEndBytes) {
      kept_ = std::string(part.substr(part.size() - kTarEndBytes));
      return;
    }
    kept_.append(part.data(), part.size());
    if (kept_.size() > kTarEndBytes) kept_.erase(0, kept_.size() - kTarEndBytes);
  }
  bool EndsTar() const { return kept_ == std::string(kTarEndBytes, '\0'); }
  std::string Words() const {
    const std::size_t start = kept_.rfind("{\"error");
    return start == std::string::npos ? "" : kept_.substr(start);
  }

 private:
  std::string kept_;
};

}  // namespace

DockerRuntime::DockerRuntime(std::string socket_path) : http_(std::move(socket_path)) {}

absl::StatusOr<std::string> DockerRuntime::ApiPrefix(absl::Time deadline) {
  {
    absl::MutexLock lock(&mu_);
    if (!api_prefix_.empty()) return api_prefix_;
  }
  ASSIGN_OR_RETURN(const EngineReply reply, http_.Exchange("GET", "/version", "", deadline));
  if (!Succeeded(reply)) return Refused(reply, "read the engine's version");
  ASSIGN_OR_RETURN(const docker::ApiVersions versions, docker::ParseVersion(reply.body));
  ASSIGN_OR_RETURN(const std::string version, docker::ChooseVersion(versions));
  absl::MutexLock lock(&mu_);
  api_prefix_ = absl::StrCat("/v", version);
  return api_prefix_;
}

absl::StatusOr<EngineReply> DockerRuntime::Ask(absl::string_view method, absl::string_view path,
                                               const std::string& body, absl::Time deadline) {
  for (bool again = true;; again = false) {
    ASSIGN_OR_RETURN(const std::string prefix, ApiPrefix(deadline));
    ASSIGN_OR_RETURN(EngineReply reply, http_.Exchange(method, absl::StrCat(prefix, path), body, deadline));
    // "client version 1.41 is too old": another engine answers there than the one that was asked.
    if (!again || reply.status != 400 || !absl::StrContains(reply.body, "client version")) return reply;
    absl::MutexLock lock(&mu_);
    if (api_prefix_ == prefix) api_prefix_.clear();
  }
}

absl::StatusOr<EngineInfo> DockerRuntime::GetEngineInfo(absl::Time deadline) {
  ASSIGN_OR_RETURN(const EngineReply reply, Ask("GET", "/info", "", deadline));
  if (!Succeeded(reply)) return Refused(reply, "read the engine's state");
  return docker::ParseInfo(reply.body);
}

absl::StatusOr<std::string> DockerRuntime::Create(const ContainerSpec& spec, absl::Time deadline) {
  RETURN_IF_ERROR(CheckContainer(spec.name));
  RETURN_IF_ERROR(CheckImage(spec.image_id));
  const std::string act = absl::StrCat("create container ", spec.name, " of image ", spec.image_id);
  ASSIGN_OR_RETURN(const EngineReply reply, Ask("POST", absl::StrCat("/containers/create?name=", UrlEncode(spec.name)),
                                                docker::CreateBody(spec), deadline));
  if (Succeeded(reply)) return docker::ParseCreatedId(reply.body);
  const absl::Status refused = Refused(reply, act);
  if (reply.status == 409) return absl::AlreadyExistsError(refused.message());
  return refused;
}

absl::Status DockerRuntime::Start(const std::string& id, absl::Time deadline) {
  RETURN_IF_ERROR(CheckContainer(id));
  ASSIGN_OR_RETURN(const EngineReply reply, Ask("POST", absl::StrCat("/containers/", id, "/start"), "", deadline));
  // 304: it runs already.
  if (Succeeded(reply) || reply.status == 304) return absl::OkStatus();
  const std::string act = absl::StrCat("start container ", id);
  // A command that is not in the image is a 404 of some engines; the container is there all the same.
  if (reply.status == 404 && !absl::StrContains(reply.body, "No such container")) {
    return docker::ErrorStatus(400, docker::ErrorMessage(reply.body), act);
  }
  return Refused(reply, act);
}

absl::Status DockerRuntime::Remove(const std::string& id, absl::Time deadline) {
  RETURN_IF_ERROR(CheckContainer(id));
  while (true) {
    ASSIGN_OR_RETURN(const EngineReply reply,
                     Ask("DELETE", absl::StrCat("/containers/", id, "?force=1&v=1"), "", deadline));
    if (Succeeded(reply) || reply.status == 404) return absl::OkStatus();
    // Somebody else's removal is under way: it is ours, too, once it is done.
    if (reply.status != 409 || !absl::StrContains(reply.body, "already in progress")) {
      return Refused(reply, absl::StrCat("remove container ", id));
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
}

absl::StatusOr<ContainerInfo> DockerRuntime::Inspect(const std::string& id, absl::Time deadline) {
  RETURN_IF_ERROR(CheckContainer(id));
  ASSIGN_OR_RETURN(const EngineReply reply, Ask("GET", absl::StrCat("/containers/", id, "/json"), "", deadline));
  if (!Succeeded(reply)) return Refused(reply, absl::StrCat("inspect container ", id));
  return docker::ParseContainer(reply.body);
}

absl::StatusOr<std::vector<ContainerInfo>> DockerRuntime::List(const std::map<std::string, std::string>& labels,
                                                               absl::Time deadline) {
  std::string path = "/containers/json?all=1";
  if (!labels.empty()) absl::StrAppend(&path, "&filters=", UrlEncode(docker::LabelFilter(labels)));
  ASSIGN_OR_RETURN(const EngineReply reply, Ask("GET", path, "", deadline));
  if (!Succeeded(reply)) return Refused(reply, "list containers");
  ASSIGN_OR_RETURN(std::vector<ContainerInfo> listed, docker::ParseContainerList(reply.body));
  std::vector<ContainerInfo> list;
  for (ContainerInfo& info : listed) {
    if (!info.running) {
      // The list does not say how it ended.
      auto whole = Inspect(info.id, deadline);
      if (absl::IsNotFound(whole.status())) continue;
      if (!whole.ok()) return whole.status();
      info = *std::move(whole);
    }
    list.push_back(std::move(info));
  }
  return list;
}

absl::StatusOr<std::string> DockerRuntime::TailLog(const std::string& id, int lines, absl::Time deadline) {
  RETURN_IF_ERROR(CheckContainer(id));
  ASSIGN_OR_RETURN(const EngineReply reply,
                   Ask("GET", absl::StrCat("/containers/", id, "/logs?stdout=1&stderr=1&tail=", std::max(lines, 0)), "",
                       deadline));
  if (!Succeeded(reply)) return Refused(reply, absl::StrCat("read the log of container ", id));
  std::string log = docker::DemultiplexLog(reply.body);
  if (log.size() > kMaxLogBytes) log.erase(0, log.size() - kMaxLogBytes);
  return log;
}

absl::StatusOr<ImageInfo> DockerRuntime::InspectImage(const std::string& image, absl::Time deadline) {
  RETURN_IF_ERROR(CheckImage(image));
  ASSIGN_OR_RETURN(const EngineReply reply, Ask("GET", absl::StrCat("/images/", image, "/json"), "", deadline));
  if (!Succeeded(reply)) return Refused(reply, absl::StrCat("inspect image ", image));
  return docker::ParseImage(reply.body);
}

absl::StatusOr<std::vector<std::string>> DockerRuntime::ListImageIds(absl::Time deadline) {
  ASSIGN_OR_RETURN(const EngineReply reply, Ask("GET", "/images/json", "", deadline));
  if (!Succeeded(reply)) return Refused(reply, "list images");
  return docker::ParseImageIds(reply.body);
}

absl::Status DockerRuntime::PullImage(const std::string& reference, absl::Time deadline) {
  RETURN_IF_ERROR(CheckImage(reference));
  ASSIGN_OR_RETURN(const std::string prefix, ApiPrefix(deadline));
  const auto [name, tag] = SplitReference(reference);
  docker::ProgressStream progress;
  const auto reply = http_.Download(
      "POST", absl::StrCat(prefix, "/images/create?fromImage=", UrlEncode(name), "&tag=", UrlEncode(tag)),
      [&](absl::string_view part) {
        progress.Feed(part);
        return absl::OkStatus();
      },
      deadline);
  if (absl::IsDeadlineExceeded(reply.status())) return WithReason(reply.status(), reason::kImageUnavailable);
  if (!reply.ok()) return reply.status();
  if (!Succeeded(*reply)) return PullError(reply->status, docker::ErrorMessage(reply->body), reference);
  if (!progress.error().empty()) return PullError(500, progress.error(), reference);
  return absl::OkStatus();
}

absl::Status DockerRuntime::ExportImage(const std::string& image,
                                        absl::FunctionRef<absl::Status(absl::string_view)> sink,
                                        absl::Time deadline) {
  RETURN_IF_ERROR(CheckImage(image));
  ASSIGN_OR_RETURN(const std::string prefix, ApiPrefix(deadline));
  Tail tail;
  ASSIGN_OR_RETURN(const EngineReply reply, http_.Download(
                                                "GET", absl::StrCat(prefix, "/images/", image, "/get"),
                                                [&](absl::string_view part) {
                                                  tail.Add(part);
                                                  return sink(part);
                                                },
                                                deadline));
  const std::string act = absl::StrCat("export image ", image);
  if (!Succeeded(reply)) {
    const absl::Status refused = Refused(reply, act);
    // An id that it does not know is a 500 of the engine's, about a file that is not there.
    if (absl::IsInternal(refused) && absl::IsNotFound(InspectImage(image, deadline).status())) {
      return absl::NotFoundError(refused.message());
    }
    return refused;
  }
  if (!tail.EndsTar()) {
    docker::ProgressStream words;
    words.Feed(tail.Words());
    return docker::ErrorStatus(
        500, words.error().empty() ? "an archive that ends before its end" : words.error(), act);
  }
  return absl::OkStatus();
}

absl::Status DockerRuntime::ImportImage(absl::FunctionRef<absl::StatusOr<std::string>()> source,
                                        absl::Time deadline) {
  ASSIGN_OR_RETURN(const std::string prefix, ApiPrefix(deadline));
  ASSIGN_OR_RETURN(const EngineReply reply,
                   http_.Upload(absl::StrCat(prefix, "/images/load?quiet=1"), source, deadline));
  if (!Succeeded(reply)) return Refused(reply, "load an image");
  docker::ProgressStream progress;
  progress.Feed(reply.body);
  // The answer is a 200 whatever happened; only its stream tells. What the engine can't read now it can't read later.
  if (!progress.error().empty()) return docker::ErrorStatus(400, progress.error(), "load an image");
  return absl::OkStatus();
}

absl::Status DockerRuntime::TagImage(const std::string& image, const std::string& tag, absl::Time deadline) {
  RETURN_IF_ERROR(CheckImage(image));
  RETURN_IF_ERROR(CheckImage(tag));
  const auto [name, version] = SplitReference(tag);
  ASSIGN_OR_RETURN(const EngineReply reply,
                   Ask("POST",
                       absl::StrCat("/images/", image, "/tag?repo=", UrlEncode(name), "&tag=", UrlEncode(version)), "",
                       deadline));
  if (!Succeeded(reply)) return Refused(reply, absl::StrCat("tag image ", image, " as ", tag));
  return absl::OkStatus();
}

absl::Status DockerRuntime::RemoveImage(const std::string& image, absl::Time deadline) {
  RETURN_IF_ERROR(CheckImage(image));
  ASSIGN_OR_RETURN(EngineReply reply, Ask("DELETE", absl::StrCat("/images/", image), "", deadline));
  if (reply.status == 409 && absl::StrContains(reply.body, "multiple repositories")) {
    // By an id with several tags the engine wants force, which would also take it from under a stopped container.
    // Tag by tag it refuses that at the last one.
    const auto info = InspectImage(image, deadline);
    if (absl::IsNotFound(info.status())) return absl::OkStatus();
    if (!info.ok()) return info.status();
    for (const std::string& tag : info->tags) RETURN_IF_ERROR(RemoveImage(tag, deadline));
    return absl::OkStatus();
  }
  if (Succeeded(reply) || reply.status == 404) return absl::OkStatus();
  return Refused(reply, absl::StrCat("remove image ", image));
}

}  // namespace thaw::agent
