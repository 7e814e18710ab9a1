#ifndef THAW_AGENT_START_RESTORER_H_
#define THAW_AGENT_START_RESTORER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/engine/engine.h"
#include "agent/invoke/function_connection.h"
#include "agent/pool/slot.h"
#include "common/clock/clock.h"
#include "thaw/agent/v1/manifest.pb.h"

namespace thaw::agent {

// What thaw-init keeps for a restarted agent beside an instance: its version and its count of answered calls.
std::string MakeInstanceMeta(const std::string& version_id, std::uint64_t answered);
// False when `meta` is not one of those.
bool ParseInstanceMeta(const std::string& meta, std::string& version_id, std::uint64_t& answered);

// Brings a laid-out and verified snapshot to life in an empty slot: for a call, and for a canary. Threads: any; blocks.
class Restorer {
 public:
  Restorer(FunctionDialer& dialer, const Clock& clock, const Engines& engines)
      : dialer_(dialer), clock_(clock), engines_(engines) {}

  // `name` is the snapshot's directory in the CRaC volume; `given` is there before the function goes on. The function's
  // socket is there when this returns. Errors are the engine's (with reason RESTORE_FAILED) and
  // FunctionDialer::AwaitListener's; the slot may then hold remains and must be reset.
  absl::StatusOr<std::unique_ptr<FunctionConnection>> Restore(Slot& slot, const v1::Manifest& manifest,
                                                              const std::string& name, const std::string& instance_id,
                                                              const Given& given, absl::Duration time_limit);

  // Waits for the socket of what runs in `slot`.
  absl::StatusOr<std::unique_ptr<FunctionConnection>> Connect(Slot& slot, absl::Duration time_limit);

 private:
  FunctionDialer& dialer_;
  const Clock& clock_;
  const Engines& engines_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_START_RESTORER_H_
