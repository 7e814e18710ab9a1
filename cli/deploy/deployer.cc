#include "cli/deploy/deployer.h"

#include <google/protobuf/util/message_differencer.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/deploy/func_file.h"
#include "cli/deploy/image_publisher.h"
#include "cli/freezing/words.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::cli {
namespace fs = std::filesystem;
namespace {

using google::protobuf::util::MessageDifferencer;

constexpr absl::string_view kNameCharacters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

absl::Status CheckName(absl::string_view what, absl::string_view name) {
  if (!name.empty() && name.size() <= 255 &&
      name.find_first_not_of(kNameCharacters) == absl::string_view::npos) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the ", what, "'s name `", name, "` must be 1 to 255 letters, digits, `_` or `-`"));
}

// The function as the sources and the command line want it; what neither says is unset.
commonpb::Function Wanted(const DeployRequest& request, const FuncFile& file) {
  commonpb::Function wanted;
  wanted.set_memory_mib(request.memory_mib.value_or(file.memory_mib.value_or(0)));
  if (const auto timeout = request.timeout_s.has_value() ? request.timeout_s : file.timeout_s;
      timeout.has_value()) {
    wanted.mutable_timeout()->set_seconds(*timeout);
  }
  if (const auto idle = request.idle_timeout_s.has_value() ? request.idle_timeout_s : file.idle_timeout_s;
      idle.has_value()) {
    wanted.mutable_idle_timeout()->set_seconds(*idle);
  }
  for (const auto& [key, value] : file.config) (*wanted.mutable_config())[key] = value;
  for (const auto& [key, value] : request.config) (*wanted.mutable_config())[key] = value;
  for (const auto& [key, value] : file.annotations) (*wanted.mutable_annotations())[key] = value;
  if (file.thaw.checkpoint.has_value()) *wanted.mutable_checkpoint() = *file.thaw.checkpoint;
  if (request.checkpoint.has_value()) *wanted.mutable_checkpoint() = *request.checkpoint;
  if (file.thaw.freeze.has_value()) *wanted.mutable_freeze() = *file.thaw.freeze;
  return wanted;
}

bool SameEntries(const google::protobuf::Map<std::string, std::string>& wanted,
                 const google::protobuf::Map<std::string, std::string>& current) {
  for (const auto& [key, value] : wanted) {
    const auto it = current.find(key);
    // "" deletes a key.
    if (value.empty() ? it != current.end() : it == current.end() || it->second != value) return false;
  }
  return true;
}

bool SamePolicy(const commonpb::CheckpointPolicy& a, const commonpb::CheckpointPolicy& b) {
  const auto after = [](const commonpb::CheckpointPolicy& p) {
    return p.after_invocations() == 0 ? 5 : p.after_invocations();
  };
  const std::string mode = CheckpointModeWord(a.mode());
  return mode == CheckpointModeWord(b.mode()) && (mode != "after" || after(a) == after(b));
}

// Whether `current` is all that `wanted` asks for.
bool Satisfies(const commonpb::Function& current, const commonpb::Function& wanted) {
  return current.image_id() == wanted.image_id() && current.image() == wanted.image() &&
         (wanted.memory_mib() == 0 || current.memory_mib() == wanted.memory_mib()) &&
         (!wanted.has_timeout() || current.timeout().seconds() == wanted.timeout().seconds()) &&
         (!wanted.has_idle_timeout() ||
          current.idle_timeout().seconds() == wanted.idle_timeout().seconds()) &&
         (!wanted.has_checkpoint() || SamePolicy(current.checkpoint(), wanted.checkpoint())) &&
         (!wanted.has_freeze() || MessageDifferencer::Equals(wanted.freeze(), current.freeze())) &&
         SameEntries(wanted.config(), current.config()) &&
         SameEntries(wanted.annotations(), current.annotations());
}

// Config that the func file expects and nobody gives.
absl::Status CheckExpectedConfig(const FuncFile& file, const commonpb::Function& wanted,
                                 const commonpb::App& app, const commonpb::Function& current) {
  for (const auto& expected : file.expected_config) {
    if (!expected.required) continue;
    const auto has = [&expected](const google::protobuf::Map<std::string, std::string>& config) {
      const auto it = config.find(expected.name);
      return it != config.end() && !it->second.empty();
    };
    if (has(wanted.config()) || has(app.config()) || has(current.config())) continue;
    return absl::InvalidArgumentError(absl::StrCat(file.file_name, ":", expected.line, ": the config key `",
                                                   expected.name,
                                                   "` is required and has no value; give it with --config ",
                                                   expected.name, "=VALUE, or in the app's config"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DeployResult> Deployer::Deploy(const DeployRequest& request) {
  DeployResult result;
  std::error_code error;
  const std::string directory = fs::canonical(request.directory, error).string();
  if (error || !fs::is_directory(directory, error)) {
    return absl::NotFoundError(absl::StrCat("there is no folder ", request.directory));
  }
  ASSIGN_OR_RETURN(const FuncFile file, ReadFuncFile(directory));
  const std::string name = !request.name.empty() ? request.name
                           : !file.name.empty()  ? file.name
                                                 : fs::path(directory).filename().string();
  RETURN_IF_ERROR(CheckName("function", name));
  RETURN_IF_ERROR(CheckName("app", request.app));
  if (!file.ignored_keys.empty()) {
    result.notes.push_back(absl::StrCat(file.file_name, ": Thaw has no use for ",
                                        absl::StrJoin(file.ignored_keys, ", "), "; it was left out"));
  }

  // The cluster is asked before the build: who can't reach it need not wait for Maven to learn that.
  commonpb::GetAppRequest get_app;
  get_app.set_name(request.app);
  auto app = client_.GetApp(get_app);
  if (!app.ok() && (app.status().code() != absl::StatusCode::kNotFound || !request.create_app))
    return app.status();
  commonpb::Function current;
  if (app.ok()) {
    result.app = *app;
    commonpb::GetFunctionRequest get_function;
    get_function.set_app_name(request.app);
    get_function.set_name(name);
    const auto found = client_.GetFunction(get_function);
    if (found.ok()) {
      current = *found;
    } else if (found.status().code() != absl::StatusCode::kNotFound) {
      return found.status();
    }
  }
  commonpb::Function wanted = Wanted(request, file);
  RETURN_IF_ERROR(CheckExpectedConfig(file, wanted, result.app, current));

  RETURN_IF_ERROR(docker_.CheckDaemon());
  RETURN_IF_ERROR(builder_.RunBuildSteps(directory, file));
  ASSIGN_OR_RETURN(const BuildPlan plan, builder_.Plan(directory, file, request.app, name));
  bool image_known = false;
  if (plan.kind == BuildPlan::Kind::kMaven && !request.no_cache && current.image() == plan.tag &&
      !current.image_id().empty()) {
    // Made from these very sources and on a node: neither a build nor a local image is needed.
    ASSIGN_OR_RETURN(const std::vector<std::string> holders, client_.FindImage(current.image_id()));
    image_known = !holders.empty();
    wanted.set_image_id(current.image_id());
  }
  if (!image_known) {
    ASSIGN_OR_RETURN(const ImageBuilder::Built built, builder_.Build(plan, request.no_cache));
    result.built = built.fresh;
    wanted.set_image_id(built.image.id);
    ASSIGN_OR_RETURN(const PublishedImage published,
                     PublishImage(client_, docker_, progress_, plan.tag, built.image));
    result.pushed_bytes = published.pushed_bytes;
    result.pushed_to = published.pushed_to;
  }
  wanted.set_image(plan.tag);

  if (!app.ok()) {
    commonpb::App new_app;
    new_app.set_name(request.app);
    auto made = client_.CreateApp(new_app);
    // Somebody else made it meanwhile: as good.
    if (made.status().code() == absl::StatusCode::kAlreadyExists) made = client_.GetApp(get_app);
    RETURN_IF_ERROR(made.status());
    result.app = *made;
    result.app_created = true;
  }
  if (current.id().empty()) {
    wanted.set_name(name);
    wanted.set_app_id(result.app.id());
    wanted.set_app_name(result.app.name());
    progress_.Start("making the function known");
    auto made = client_.CreateFunction(wanted);
    if (!made.ok()) {
      progress_.Failed("");
      return made.status();
    }
    progress_.Done("");
    result.function = *made;
    result.outcome = DeployResult::Outcome::kCreated;
  } else if (Satisfies(current, wanted)) {
    result.function = current;
  } else {
    wanted.set_id(current.id());
    progress_.Start("updating the function");
    auto made = client_.UpdateFunction(wanted);
    if (!made.ok()) {
      progress_.Failed("");
      return made.status();
    }
    progress_.Done("");
    result.function = *made;
    result.outcome = DeployResult::Outcome::kUpdated;
  }
  if (result.function.app_name().empty()) result.function.set_app_name(result.app.name());
  return result;
}

}  // namespace thaw::cli
