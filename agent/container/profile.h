#ifndef THAW_AGENT_CONTAINER_PROFILE_H_
#define THAW_AGENT_CONTAINER_PROFILE_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "agent/container/runtime.h"

namespace thaw::agent {

// What a container may do so that CRIU can work in it. Only thaw-init (PID 1) and CRIU have it: thaw-init starts the
// function as another user, with no capability.
struct Profile {
  enum class Kind {
    // The capabilities below, nothing more; the default.
    kCheckpoint,
    // The proof of concept's: all capabilities and devices of the host.
    kPrivileged,
  };

  Kind kind = Kind::kCheckpoint;
  // Of kCheckpoint, without CAP_: the required ones and those of the optional ones that the host offers.
  std::vector<std::string> capabilities;
  // Why it is this one and what it lacks, for Node.profile_note; one line.
  std::string note;

  // "checkpoint" or "privileged".
  absl::string_view name() const;
};

// Without any one of these a dump or a restore fails (or, without SETPCAP, hangs).
const std::vector<std::string>& RequiredCapabilities();
// CRIU is better off with these, but hosts and engines lack them: CHECKPOINT_RESTORE is younger than Docker 20.10's
// list, SYS_RESOURCE is withheld by some virtual machines.
const std::vector<std::string>& OptionalCapabilities();

enum class ProfileRequest { kAuto, kCheckpoint, kPrivileged };

// "auto", "checkpoint" or "privileged"; INVALID_ARGUMENT otherwise.
absl::StatusOr<ProfileRequest> ParseProfileRequest(absl::string_view text);

// Finds out by trying which profile this host's engine can start a container in.
class ProfileProbe {
 public:
  struct Options {
    // For the label by which the agent finds what a crash left of a probe.
    std::string node_id;
    // Paths::Tools(): mounted as /thaw, and `/thaw/init --version` run, so that it is also seen whether the engine sees
    // the agent's data directory.
    std::string tools_dir;
    // The image to start; empty: a few bytes that the probe loads into the engine as `thaw-probe:1`, which stays.
    std::string image_id;
  };

  ProfileProbe(ContainerRuntime& runtime, Options options) : runtime_(runtime), options_(std::move(options)) {}

  // Starts and removes throw-away containers, one to five, half a second each. `auto` and `checkpoint` give
  // checkpoint; `privileged` gives privileged, or checkpoint with the engine's words in the note where the host can't
  // start such a container. Blocks.
  //
  //   FAILED_PRECONDITION  not even the checkpoint profile starts here: this host can't run functions
  //   others               as of ContainerRuntime
  absl::StatusOr<Profile> Choose(ProfileRequest request, absl::Time deadline);

 private:
  absl::StatusOr<std::string> Image(absl::Time deadline);
  // OK when a container with these starts.
  absl::Status Try(const std::string& image, bool privileged, const std::vector<std::string>& capabilities,
                   absl::Time deadline);
  absl::StatusOr<Profile> ChooseCheckpoint(const std::string& image, absl::Time deadline);

  ContainerRuntime& runtime_;
  const Options options_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_CONTAINER_PROFILE_H_
