#ifndef THAW_TESTS_FAKES_FAKE_CONTAINER_RUNTIME_H_
#define THAW_TESTS_FAKES_FAKE_CONTAINER_RUNTIME_H_

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "agent/container/image_archive.h"
#include "agent/container/runtime.h"
#include "common/clock/clock.h"

namespace thaw::testing {

// Containers and images in memory, under the contract suite that the real one passes too
// (tests/contract/container_runtime_contract.h). Nothing runs in them: OnStart() is where a test puts its fake init.
//
// Threads: any; hooks are called on the thread of the call, with no lock held.
class FakeContainerRuntime final : public agent::ContainerRuntime {
 public:
  enum class Op {
    kGetEngineInfo,
    kCreate,
    kStart,
    kRemove,
    kInspect,
    kList,
    kTailLog,
    kInspectImage,
    kListImageIds,
    kPullImage,
    kExportImage,
    kImportImage,
    kTagImage,
    kRemoveImage,
  };

  // With a clock, a deadline that has passed by it is DEADLINE_EXCEEDED; without, deadlines are not looked at.
  explicit FakeContainerRuntime(const Clock* clock = nullptr) : clock_(clock) {}

  // --- what the test arranges ---

  // The next `times` calls of `op` fail with `status` and do nothing.
  void FailNext(Op op, absl::Status status, int times = 1);
  // Every call is UNAVAILABLE (ENGINE_UNAVAILABLE) until set back. Containers go on running, as they do.
  void SetEngineDown(bool down);
  // Called before each `op` does anything, with its object (container id or name, image); a hook that blocks makes a
  // slow engine. Its error fails the call.
  void SetHook(Op op, std::function<absl::Status(const std::string& object)> hook);
  // Called when a container has started; an error fails the start and leaves the container stopped.
  void OnStart(std::function<absl::Status(const agent::ContainerInfo&, const agent::ContainerSpec&)> hook);
  // Called when a running container has been stopped by Remove() or Exit(), before the call returns.
  void OnStop(std::function<void(const agent::ContainerInfo&)> hook);
  // A container that needs one of these does not start ("unable to apply caps"); "*" stands for what only privileged
  // containers have.
  void SetHostLacks(std::set<std::string> capabilities);
  // Capabilities whose names the engine does not know: a create with one is refused.
  void SetEngineDoesNotKnow(std::set<std::string> capabilities);
  // Adds an image and returns its id.
  std::string AddImage(const agent::ImageContent& content);
  // PullImage(reference) finds this image.
  void AddToRegistry(const std::string& reference, const agent::ImageContent& content);
  // The first process of a container ends. `id` may be the name.
  void Exit(const std::string& id, int exit_code, bool oom_killed = false);
  void AppendLog(const std::string& id, const std::string& text);

  // --- what the test asks ---

  // How often `op` was called, failed calls included.
  int Calls(Op op) const;
  // Of a container that is there; fails the process when it is not.
  agent::ContainerSpec SpecOf(const std::string& id) const;
  // Ids in the order in which they were made.
  std::vector<std::string> ContainerIds() const;
  std::vector<std::string> RunningContainerIds() const;

  // --- ContainerRuntime ---

  absl::StatusOr<agent::EngineInfo> GetEngineInfo(absl::Time deadline) override;
  absl::StatusOr<std::string> Create(const agent::ContainerSpec& spec, absl::Time deadline) override;
  absl::Status Start(const std::string& id, absl::Time deadline) override;
  absl::Status Remove(const std::string& id, absl::Time deadline) override;
  absl::StatusOr<agent::ContainerInfo> Inspect(const std::string& id, absl::Time deadline) override;
  absl::StatusOr<std::vector<agent::ContainerInfo>> List(const std::map<std::string, std::string>& labels,
                                                         absl::Time deadline) override;
  absl::StatusOr<std::string> TailLog(const std::string& id, int lines, absl::Time deadline) override;
  absl::StatusOr<agent::ImageInfo> InspectImage(const std::string& image, absl::Time deadline) override;
  absl::StatusOr<std::vector<std::string>> ListImageIds(absl::Time deadline) override;
  absl::Status PullImage(const std::string& reference, absl::Time deadline) override;
  absl::Status ExportImage(const std::string& image, absl::FunctionRef<absl::Status(absl::string_view)> sink,
                           absl::Time deadline) override;
  absl::Status ImportImage(absl::FunctionRef<absl::StatusOr<std::string>()> source, absl::Time deadline) override;
  absl::Status TagImage(const std::string& image, const std::string& tag, absl::Time deadline) override;
  absl::Status RemoveImage(const std::string& image, absl::Time deadline) override;

 private:
  struct Container {
    agent::ContainerInfo info;
    agent::ContainerSpec spec;
    std::string log;
    bool started = false;
    int order = 0;
  };
  struct Image {
    agent::ImageInfo info;
    // What an export is made of.
    std::string config;
    std::string layer;
  };

  // What every call does first; not under the lock, as the hook may call back.
  absl::Status Begin(Op op, const std::string& object, absl::Time deadline) ABSL_LOCKS_EXCLUDED(mu_);
  Container* Find(const std::string& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  const Container* Find(const std::string& id) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  Image* FindImage(const std::string& image) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status LoadArchive(const std::string& tar) ABSL_LOCKS_EXCLUDED(mu_);

  const Clock* const clock_;
  mutable absl::Mutex mu_;
  std::map<std::string, Container> containers_ ABSL_GUARDED_BY(mu_);  // By id.
  std::map<std::string, Image> images_ ABSL_GUARDED_BY(mu_);          // By id.
  std::map<std::string, agent::ImageArchive> registry_ ABSL_GUARDED_BY(mu_);
  std::map<Op, std::vector<absl::Status>> failures_ ABSL_GUARDED_BY(mu_);
  std::map<Op, std::function<absl::Status(const std::string&)>> hooks_ ABSL_GUARDED_BY(mu_);
  std::function<absl::Status(const agent::ContainerInfo&, const agent::ContainerSpec&)> on_start_ ABSL_GUARDED_BY(mu_);
  std::function<void(const agent::ContainerInfo&)> on_stop_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> host_lacks_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> unknown_capabilities_ ABSL_GUARDED_BY(mu_);
  std::map<Op, int> calls_ ABSL_GUARDED_BY(mu_);
  bool engine_down_ ABSL_GUARDED_BY(mu_) = false;
  int next_order_ ABSL_GUARDED_BY(mu_) = 1;
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_FAKES_FAKE_CONTAINER_RUNTIME_H_
