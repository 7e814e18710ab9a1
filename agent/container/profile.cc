#include "agent/container/profile.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "agent/container/image_archive.h"
#include "agent/container/slot_spec.h"
#include "common/ids/ids.h"
#include "common/status/status_macros.h"

namespace thaw::agent {
namespace {

constexpr absl::Duration kCleanupTime = absl::Seconds(20);

// The host or the engine can't do it, rather than nobody could be asked.
bool HostRefuses(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsInternal(status);
}

bool AboutCapabilities(const absl::Status& status) {
  return absl::StrContains(status.message(), "apply caps") || absl::StrContains(status.message(), "apabilit") ||
         absl::StrContains(status.message(), "CAP_");
}

std::string OneLine(absl::string_view text) { return absl::StrReplaceAll(text, {{"\r", ""}, {"\n", " "}}); }

}  // namespace

absl::string_view Profile::name() const { return kind == Kind::kPrivileged ? "privileged" : "checkpoint"; }

const std::vector<std::string>& RequiredCapabilities() {
  static const auto* const kList = new std::vector<std::string>{
      "SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN",    "SYS_TIME", "SETPCAP", "SYS_CHROOT",
      "SETUID",    "SETGID",     "DAC_OVERRIDE", "KILL",     "CHOWN",   "FOWNER"};
  return *kList;
}

const std::vector<std::string>& OptionalCapabilities() {
  static const auto* const kList = new std::vector<std::string>{"SYS_RESOURCE", "CHECKPOINT_RESTORE"};
  return *kList;
}

absl::StatusOr<ProfileRequest> ParseProfileRequest(absl::string_view text) {
  if (text == "auto") return ProfileRequest::kAuto;
  if (text == "checkpoint") return ProfileRequest::kCheckpoint;
  if (text == "privileged") return ProfileRequest::kPrivileged;
  return absl::InvalidArgumentError(
      absl::StrCat("'", text, "' is no container profile; use auto, checkpoint or privileged"));
}

absl::StatusOr<std::string> ProfileProbe::Image(absl::Time deadline) {
  if (!options_.image_id.empty()) return options_.image_id;
  ImageContent content;
  content.tags = {"thaw-probe:1"};
  content.files = {{"thaw/README", "An empty place for thaw-init, by which Thaw's agent probes this host.\n", 0444}};
  const ImageArchive archive = MakeImageArchive(content);
  const auto present = runtime_.InspectImage(archive.id, deadline);
  if (present.ok()) return archive.id;
  if (!absl::IsNotFound(present.status())) return present.status();
  bool given = false;
  RETURN_IF_ERROR(runtime_.ImportImage(
      [&]() -> absl::StatusOr<std::string> {
        if (given) return std::string();
        given = true;
        return archive.tar;
      },
      deadline));
  return archive.id;
}

absl::Status ProfileProbe::Try(const std::string& image, bool privileged, const std::vector<std::string>& capabilities,
                               absl::Time deadline) {
  ContainerSpec spec;
  spec.name = absl::StrCat("thaw-probe-", NewHexId());
  spec.image_id = image;
  spec.command = {"/thaw/init", "--version"};
  spec.labels = {{kNodeLabel, options_.node_id}, {kRoleLabel, kProbeRole}};
  spec.binds = {{options_.tools_dir, "/thaw", true}};
  spec.privileged = privileged;
  spec.capabilities = capabilities;
  spec.network = "none";
  const auto id = runtime_.Create(spec, deadline);
  absl::Status status = id.ok() ? runtime_.Start(*id, deadline) : id.status();
  // By name: a create that was too slow for us may have gone through. With time of its own: the container must not
  // stay because the probe's time is up.
  const absl::Status removed = runtime_.Remove(spec.name, std::max(deadline, absl::Now() + kCleanupTime));
  return status.ok() ? removed : status;
}

absl::StatusOr<Profile> ProfileProbe::ChooseCheckpoint(const std::string& image, absl::Time deadline) {
  const std::string resource = OptionalCapabilities()[0];
  const std::string checkpoint_restore = OptionalCapabilities()[1];
  // Where the engine does not say which capability it lacks, the richest set that starts is found by trying.
  std::vector<std::vector<std::string>> candidates = {
      {resource, checkpoint_restore}, {resource}, {checkpoint_restore}, {}};
  std::vector<std::string> refused;
  absl::Status last;
  for (const auto& optional : candidates) {
    const bool hopeless = std::any_of(optional.begin(), optional.end(), [&](const std::string& capability) {
      return std::find(refused.begin(), refused.end(), capability) != refused.end();
    });
    if (hopeless) continue;
    Profile profile;
    profile.capabilities = RequiredCapabilities();
    profile.capabilities.insert(profile.capabilities.end(), optional.begin(), optional.end());
    last = Try(image, false, profile.capabilities, deadline);
    if (last.ok()) {
      std::vector<std::string> missing;
      for (const std::string& capability : OptionalCapabilities()) {
        if (std::find(optional.begin(), optional.end(), capability) == optional.end()) missing.push_back(capability);
      }
      if (!missing.empty()) {
        profile.note = absl::StrCat("the host does not offer ", absl::StrJoin(missing, ", "));
      }
      return profile;
    }
    if (!HostRefuses(last)) return last;
    if (!AboutCapabilities(last)) break;
    for (const std::string& capability : optional) {
      if (absl::StrContains(last.message(), capability)) refused.push_back(capability);
    }
  }
  return absl::FailedPreconditionError(
      absl::StrCat("no container of the checkpoint profile starts on this host (", OneLine(last.message()),
                   "); it needs the capabilities ", absl::StrJoin(RequiredCapabilities(), " "),
                   ", and a data directory with the same path for the agent and the engine"));
}

absl::StatusOr<Profile> ProfileProbe::Choose(ProfileRequest request, absl::Time deadline) {
  ASSIGN_OR_RETURN(const std::string image, Image(deadline));
  std::string why = "checkpoint is the default";
  if (request == ProfileRequest::kCheckpoint) why = "checkpoint was asked for";
  if (request == ProfileRequest::kPrivileged) {
    const absl::Status status = Try(image, true, {}, deadline);
    if (status.ok()) {
      Profile profile;
      profile.kind = Profile::Kind::kPrivileged;
      profile.note = "privileged was asked for";
      return profile;
    }
    if (!HostRefuses(status)) return status;
    why = absl::StrCat("privileged: ", OneLine(status.message()), "; using checkpoint");
  }
  ASSIGN_OR_RETURN(Profile profile, ChooseCheckpoint(image, deadline));
  profile.note = profile.note.empty() ? why : absl::StrCat(why, "; ", profile.note);
  return profile;
}

}  // namespace thaw::agent
