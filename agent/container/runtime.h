#ifndef THAW_AGENT_CONTAINER_RUNTIME_H_
#define THAW_AGENT_CONTAINER_RUNTIME_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace thaw::agent {

// One container to make. The root file system is always read-only, all capabilities are dropped before
// `capabilities` are added, no path of /proc is masked, stdin is closed, and the command is root's whatever
// user the image names. No seccomp or AppArmor profile of the engine applies (CRIU can't work under them; what
// the command itself starts is the command's to confine), the image's health check does not run, and the engine
// never restarts the container.
struct ContainerSpec {
  struct Bind {
    // On the engine's host; Create() fails where it is not there, rather than make it.
    std::string source;
    std::string target;
    bool read_only = false;
  };

  std::string name;
  // `sha256:…`: what was asked for, not what a tag points to by now.
  std::string image_id;
  // The whole command; the image's own ENTRYPOINT and CMD are not used.
  std::vector<std::string> command;
  std::map<std::string, std::string> labels;
  std::vector<Bind> binds;
  // Mount point to options, e.g. "/tmp" → "rw,nosuid,nodev,exec,mode=1777".
  std::map<std::string, std::string> tmpfs;
  bool privileged = false;
  // Without the CAP_ prefix. Not used when privileged.
  std::vector<std::string> capabilities;
  // Bytes; 0 is no limit. Swap is not added to it.
  std::uint64_t memory_bytes = 0;
  // Thousandths of a CPU; 0 is no limit.
  std::uint32_t cpu_millis = 0;
  std::int64_t max_pids = 0;
  // As the engine names it: "bridge", "none", "host", or a network's name.
  std::string network = "bridge";
};

struct ContainerInfo {
  std::string id;
  std::string name;
  std::string image_id;
  std::map<std::string, std::string> labels;
  bool running = false;
  // Of a stopped container.
  int exit_code = 0;
  bool oom_killed = false;
};

struct ImageInfo {
  // `sha256:…` of the image's configuration.
  std::string id;
  std::vector<std::string> tags;
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  // `NAME=value`
  std::vector<std::string> env;
  std::string working_dir;
  std::map<std::string, std::string> labels;
  bool has_volumes = false;
  std::uint64_t size_bytes = 0;
};

struct EngineInfo {
  std::string version;
  std::string architecture;
  // "1" or "2"
  std::string cgroup_version;
  std::string storage_driver;
};

// What runs containers on this host.
//
// Threads: any. Every method blocks until the engine has answered or `deadline` has passed, so none may be
// called from a reactor. Errors, where a method does not say more:
//
//   UNAVAILABLE          no engine answers (reason ENGINE_UNAVAILABLE) and nothing was done; or it went away
//                        before it had answered, which the message says, and the act may have happened
//   DEADLINE_EXCEEDED    the engine has not answered in time; the act may still happen. After a Create() that
//                        ended so, Remove() by the name leaves nothing behind
//   INVALID_ARGUMENT     an id, name or reference that no engine could know
//   NOT_FOUND            no such container or image
//   FAILED_PRECONDITION  the engine refuses and will refuse again (its words are in the message)
//   RESOURCE_EXHAUSTED   no disk (DISK_FULL) or memory (NO_MEMORY) on the host
//   INTERNAL             the engine failed at it, or an answer that can't be understood
//
// Where a method takes a container's id, its name does as well.
class ContainerRuntime {
 public:
  virtual ~ContainerRuntime() = default;

  virtual absl::StatusOr<EngineInfo> GetEngineInfo(absl::Time deadline) = 0;

  // Makes a container and answers with its id; ALREADY_EXISTS when the name is taken, NOT_FOUND when there is no
  // such image.
  virtual absl::StatusOr<std::string> Create(const ContainerSpec& spec, absl::Time deadline) = 0;
  // Returns when the command has begun. FAILED_PRECONDITION when the host can't apply what the spec asks for
  // ("unable to apply caps") or the command is not there. OK when it runs already.
  virtual absl::Status Start(const std::string& id, absl::Time deadline) = 0;
  // Kills it if it runs and removes it with its anonymous volumes; it is gone when this returns OK. OK when it is
  // not there.
  virtual absl::Status Remove(const std::string& id, absl::Time deadline) = 0;
  virtual absl::StatusOr<ContainerInfo> Inspect(const std::string& id, absl::Time deadline) = 0;
  // All containers, running or not, that carry all of `labels`.
  virtual absl::StatusOr<std::vector<ContainerInfo>> List(const std::map<std::string, std::string>& labels,
                                                          absl::Time deadline) = 0;
  // The last lines that the container's first process wrote, stdout and stderr as they came, at most 64 KiB.
  virtual absl::StatusOr<std::string> TailLog(const std::string& id, int lines, absl::Time deadline) = 0;

  // By id (`sha256:…`) or by tag.
  virtual absl::StatusOr<ImageInfo> InspectImage(const std::string& image, absl::Time deadline) = 0;
  virtual absl::StatusOr<std::vector<std::string>> ListImageIds(absl::Time deadline) = 0;
  // From the registry that the reference names; without a tag, `latest`. When it can't be had, the reason is
  // IMAGE_UNAVAILABLE: NOT_FOUND when the registry has none such or wants a login, UNAVAILABLE when it can't be
  // reached, DEADLINE_EXCEEDED when it took too long.
  virtual absl::Status PullImage(const std::string& reference, absl::Time deadline) = 0;
  // Streams the image's archive (docker save's form; with its tags when asked for by tag, without when by id)
  // into `sink`, part by part; stops at the sink's first error and returns it. An archive that ends early is
  // INTERNAL: OK means that `sink` has had all of it.
  virtual absl::Status ExportImage(const std::string& image,
                                   absl::FunctionRef<absl::Status(absl::string_view)> sink,
                                   absl::Time deadline) = 0;
  // Loads an archive that `source` yields part by part; an empty part ends it. `source`'s error abandons the
  // load and is returned. FAILED_PRECONDITION when it is no image archive.
  virtual absl::Status ImportImage(absl::FunctionRef<absl::StatusOr<std::string>()> source,
                                   absl::Time deadline) = 0;
  // Gives an image a further tag (`name:tag`; without the `:tag`, `latest`), taking it from the image that had it.
  virtual absl::Status TagImage(const std::string& image, const std::string& tag, absl::Time deadline) = 0;
  // Removes a tag, or an image by id with all its tags. OK when it is not there; FAILED_PRECONDITION while a
  // container uses it.
  virtual absl::Status RemoveImage(const std::string& image, absl::Time deadline) = 0;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_CONTAINER_RUNTIME_H_
