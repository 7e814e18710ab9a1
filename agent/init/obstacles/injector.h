#ifndef THAW_AGENT_INIT_OBSTACLES_INJECTOR_H_
#define THAW_AGENT_INIT_OBSTACLES_INJECTOR_H_

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/init/outcome.h"

namespace thaw::init {

// Makes system calls in a process of the function, which stands still (StopProcesses): docs/adr/ has why. The process
// makes them with its own identity and under its own seccomp filter; its registers, signal mask and memory are as before
// when the Injector is gone. x86_64 only: elsewhere Attach() says UNAVAILABLE.
//
// Threads: the one that attached.
class Injector {
 public:
  // FAILED_PRECONDITION when the process can't be held: it is gone, or another traces it.
  static Outcome Attach(pid_t pid, std::unique_ptr<Injector>* injector);
  ~Injector();
  Injector(const Injector&) = delete;
  Injector& operator=(const Injector&) = delete;

  // The call's result, a negative errno included. INTERNAL when the process could not be made to do it.
  Outcome Call(long number, const std::array<uint64_t, 6>& arguments, long* result);

  // Lends at most kScratchBytes of the process's memory for arguments; what was there is put back at the end.
  static constexpr size_t kScratchBytes = 4096;
  Outcome WriteScratch(std::string_view bytes, uint64_t* address);
  Outcome ReadScratch(void* bytes, size_t size);

 private:
  Injector(pid_t pid, pid_t thread);
  Outcome Prepare();
  Outcome AwaitStop();

  struct Registers;
  const pid_t pid_;
  const pid_t thread_;
  bool attached_ = false;
  std::unique_ptr<Registers> original_;
  uint64_t signal_mask_ = 0;
  bool mask_changed_ = false;
  uint64_t syscall_address_ = 0;
  uint64_t scratch_address_ = 0;
  std::string scratch_original_;
};

// Stops the processes by SIGSTOP and waits until every thread stands. `stopped` gets those that this call has stopped,
// and not those that stood before; on failure they go on. DEADLINE_EXCEEDED when one does not stop within `limit_ms`.
// Blocks.
Outcome StopProcesses(const std::vector<pid_t>& processes, int limit_ms, std::vector<pid_t>* stopped);
void ContinueProcesses(const std::vector<pid_t>& processes);
// Waits for them to stand: CRIU brings a stopped process back as it was, but a moment later.
Outcome AwaitStopped(const std::vector<pid_t>& processes, int limit_ms);

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_OBSTACLES_INJECTOR_H_
