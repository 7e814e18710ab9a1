#ifndef THAW_AGENT_ENGINE_CRAC_ENGINE_H_
#define THAW_AGENT_ENGINE_CRAC_ENGINE_H_

#include <string>

#include "absl/time/time.h"
#include "agent/engine/engine.h"
#include "agent/state/paths.h"

namespace thaw::agent {

// Label of images with a CRaC JDK: the value for -XX:CRaCEngine, always given, as its default differs between builds.
inline constexpr char kCracEngineLabel[] = "io.thaw.crac-engine";

// A CRaC JDK's own engine: the JVM is started with -XX:CRaCCheckpointTo, writes itself there when the FDK tells it to, and
// ends by that; a second `java` with -XX:CRaCRestoreFrom makes it again.
//
// The JVM runs CRIU itself, so it is root with all that its container may do, and without init's filter: only where the
// operator allows it. Its image has to name the JDK's engine (kCracEngineLabel), and its command to begin with `java`.
class CracEngine final : public CheckpointEngine {
 public:
  // `allowed`: the operator's --allow-crac-engine.
  CracEngine(bool allowed, Paths paths) : allowed_(allowed), paths_(std::move(paths)) {}

  absl::string_view name() const override { return "crac"; }
  absl::Status Usable(const ImageInfo& image) const override;
  absl::Status PrepareStart(const ImageInfo& image, const Slot& slot, StartOrder& order) const override;
  absl::StatusOr<int> Restore(Slot& slot, const RestoreOrder& order) override;

  // The directory of an instance's checkpoint in its version's volume; the JVM has its absolute path from its start on.
  static std::string DumpName(absl::string_view instance_id);
  // Writes beside the images how to restore them, so that a snapshot has all that its restore needs.
  static absl::Status WriteRestoreCommand(const std::string& dump_dir, const ImageInfo& image);

 private:
  const bool allowed_;
  const Paths paths_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_ENGINE_CRAC_ENGINE_H_
