#include "agent/init/obstacles/injector.h"

#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "agent/init/child_process.h"
#include "agent/init/process_table.h"
#include "agent/init/unique_fd.h"

namespace thaw::init {
namespace {

constexpr int kStepLimitMs = 2000;
constexpr useconds_t kPollMicroseconds = 50;

std::string ProcFile(pid_t pid, const char* name) { return "/proc/" + std::to_string(pid) + "/" + name; }

char StateOf(pid_t pid, pid_t thread) {
  const auto info = ParseProcStat(ReadSmallFile(ProcFile(pid, "task/") + std::to_string(thread) + "/stat"));
  return info ? info->state : '?';
}

bool AllThreadsStand(pid_t pid) {
  const std::vector<pid_t> threads = ThreadsOf(pid);
  return std::all_of(threads.begin(), threads.end(), [pid](pid_t thread) {
    const char state = StateOf(pid, thread);
    return state == 'T' || state == 't' || state == 'Z' || state == 'X' || state == '?';
  });
}

}  // namespace

Outcome StopProcesses(const std::vector<pid_t>& processes, int limit_ms, std::vector<pid_t>* stopped) {
  stopped->clear();
  for (pid_t pid : processes) {
    if (StateOf(pid, pid) == 'T') continue;
    if (::kill(pid, SIGSTOP) == 0) stopped->push_back(pid);
  }
  const Outcome outcome = AwaitStopped(*stopped, limit_ms);
  if (!outcome.ok()) ContinueProcesses(*stopped);
  return outcome;
}

Outcome AwaitStopped(const std::vector<pid_t>& processes, int limit_ms) {
  const double limit = MonotonicMs() + limit_ms;
  for (pid_t pid : processes) {
    while (!AllThreadsStand(pid)) {
      if (MonotonicMs() > limit) {
        return Outcome(Code::kDeadlineExceeded, "process " + std::to_string(pid) +
                                                    " did not stop in time; it may be in an uninterruptible system call");
      }
      ::usleep(kPollMicroseconds);
    }
  }
  return {};
}

void ContinueProcesses(const std::vector<pid_t>& processes) {
  for (pid_t pid : processes) ::kill(pid, SIGCONT);
}

#if defined(__x86_64__)

struct Injector::Registers {
  user_regs_struct values;
};

Injector::Injector(pid_t pid, pid_t thread) : pid_(pid), thread_(thread) {}

Outcome Injector::Attach(pid_t pid, std::unique_ptr<Injector>* injector) {
  // The first thread may have ended while others live on.
  pid_t thread = 0;
  for (pid_t candidate : ThreadsOf(pid)) {
    const char state = StateOf(pid, candidate);
    if (thread == 0 && state != 'Z' && state != 'X' && state != '?') thread = candidate;
  }
  if (thread == 0) return Outcome(Code::kFailedPrecondition, "process " + std::to_string(pid) + " is gone");
  std::unique_ptr<Injector> made(new Injector(pid, thread));
  if (Outcome outcome = made->Prepare(); !outcome.ok()) return outcome;
  *injector = std::move(made);
  return {};
}

Outcome Injector::AwaitStop() {
  // The registers can be had exactly while the thread is in a stop of its tracer's. Wait statuses tell less: those of
  // init's own child are mixed with its stop by SIGSTOP.
  const double limit = MonotonicMs() + kStepLimitMs;
  user_regs_struct registers{};
  while (::ptrace(PTRACE_GETREGS, thread_, nullptr, &registers) != 0) {
    if (errno != ESRCH || MonotonicMs() > limit || StateOf(pid_, thread_) == '?') {
      return ErrnoOutcome(errno, "cannot hold thread " + std::to_string(thread_) + " of the function");
    }
    ::usleep(kPollMicroseconds);
  }
  siginfo_t ignored{};
  ::waitid(P_PID, static_cast<id_t>(thread_), &ignored, WSTOPPED | WNOHANG | __WALL);
  return {};
}

Outcome Injector::Prepare() {
  if (::ptrace(PTRACE_SEIZE, thread_, nullptr, nullptr) != 0) {
    const Outcome failed = ErrnoOutcome(errno, "cannot trace process " + std::to_string(pid_));
    return Outcome(Code::kFailedPrecondition, failed.message() + "; detach the debugger, if there is one");
  }
  attached_ = true;
  ::ptrace(PTRACE_INTERRUPT, thread_, nullptr, nullptr);
  if (Outcome outcome = AwaitStop(); !outcome.ok()) return outcome;
  original_ = std::make_unique<Registers>();
  if (::ptrace(PTRACE_GETREGS, thread_, nullptr, &original_->values) != 0) {
    original_.reset();
    return ErrnoOutcome(errno, "cannot read the registers of process " + std::to_string(pid_));
  }
  // A signal that arrives between two calls would run the function's handler in the middle of them.
  uint64_t all = ~0ull;
  if (::ptrace(PTRACE_GETSIGMASK, thread_, sizeof signal_mask_, &signal_mask_) != 0 ||
      ::ptrace(PTRACE_SETSIGMASK, thread_, sizeof all, &all) != 0) {
    return ErrnoOutcome(errno, "cannot set the signal mask of process " + std::to_string(pid_));
  }
  mask_changed_ = true;

  UniqueFd memory(::open(ProcFile(pid_, "mem").c_str(), O_RDWR | O_CLOEXEC));
  if (!memory) return ErrnoOutcome(errno, "cannot open the memory of process " + std::to_string(pid_));
  const std::string maps = ReadSmallFile(ProcFile(pid_, "maps"));
  for (size_t at = 0; at < maps.size();) {
    const size_t end = std::min(maps.find('\n', at), maps.size());
    const std::string line = maps.substr(at, end - at);
    at = end + 1;
    unsigned long begin_address = 0;
    unsigned long end_address = 0;
    char flags[5] = {};
    if (std::sscanf(line.c_str(), "%lx-%lx %4s", &begin_address, &end_address, flags) != 3) continue;
    const std::string_view permissions = flags;
    if (permissions == "rw-p" && scratch_address_ == 0 && end_address - begin_address >= kScratchBytes) {
      scratch_address_ = begin_address;
    }
    // Any system call instruction does; the vDSO has one and is small.
    if (line.ends_with("[vdso]") || (syscall_address_ == 0 && permissions == "r-xp")) {
      std::string code(std::min<unsigned long>(end_address - begin_address, 1 << 20), '\0');
      const ssize_t count = ::pread(memory.get(), code.data(), code.size(), static_cast<off_t>(begin_address));
      const size_t found = count > 0 ? std::string_view(code.data(), static_cast<size_t>(count)).find("\x0f\x05") : std::string::npos;
      if (found != std::string::npos) syscall_address_ = begin_address + found;
    }
  }
  if (syscall_address_ == 0 || scratch_address_ == 0) {
    return Outcome(Code::kInternal, "process " + std::to_string(pid_) + " has no memory to make a system call from");
  }
  scratch_original_.resize(kScratchBytes);
  if (::pread(memory.get(), scratch_original_.data(), kScratchBytes, static_cast<off_t>(scratch_address_)) !=
      static_cast<ssize_t>(kScratchBytes)) {
    scratch_original_.clear();
    return ErrnoOutcome(errno, "cannot read the memory of process " + std::to_string(pid_));
  }
  return {};
}

Injector::~Injector() {
  if (!attached_) return;
  if (!scratch_original_.empty()) {
    UniqueFd memory(::open(ProcFile(pid_, "mem").c_str(), O_RDWR | O_CLOEXEC));
    (void)!::pwrite(memory.get(), scratch_original_.data(), scratch_original_.size(), static_cast<off_t>(scratch_address_));
  }
  // With the original orig_rax: the kernel restarts the system call in which the thread was held.
  if (original_) ::ptrace(PTRACE_SETREGS, thread_, nullptr, &original_->values);
  if (mask_changed_) ::ptrace(PTRACE_SETSIGMASK, thread_, sizeof signal_mask_, &signal_mask_);
  ::ptrace(PTRACE_DETACH, thread_, nullptr, nullptr);
}

Outcome Injector::Call(long number, const std::array<uint64_t, 6>& arguments, long* result) {
  user_regs_struct registers = original_->values;
  registers.rip = syscall_address_;
  registers.rax = static_cast<unsigned long long>(number);
  registers.orig_rax = ~0ull;  // not in a system call: nothing is to be restarted
  registers.rdi = arguments[0];
  registers.rsi = arguments[1];
  registers.rdx = arguments[2];
  registers.r10 = arguments[3];
  registers.r8 = arguments[4];
  registers.r9 = arguments[5];
  const std::string who = "process " + std::to_string(pid_);
  if (::ptrace(PTRACE_SETREGS, thread_, nullptr, &registers) != 0) return ErrnoOutcome(errno, "cannot set registers of " + who);
  // A stop that is not the end of the step (a late one of PTRACE_INTERRUPT) leaves it before the instruction.
  for (int attempt = 0; attempt < 8; ++attempt) {
    if (::ptrace(PTRACE_SINGLESTEP, thread_, nullptr, nullptr) != 0) return ErrnoOutcome(errno, "cannot step " + who);
    if (Outcome outcome = AwaitStop(); !outcome.ok()) return outcome;
    if (::ptrace(PTRACE_GETREGS, thread_, nullptr, &registers) != 0) return ErrnoOutcome(errno, "cannot read registers of " + who);
    if (registers.rip == syscall_address_ + 2) {
      *result = static_cast<long>(registers.rax);
      return {};
    }
  }
  return Outcome(Code::kInternal, who + " did not make the system call it was to make");
}

Outcome Injector::WriteScratch(std::string_view bytes, uint64_t* address) {
  if (bytes.size() > kScratchBytes) return Outcome(Code::kInvalidArgument, "a path is longer than 4 KiB");
  UniqueFd memory(::open(ProcFile(pid_, "mem").c_str(), O_RDWR | O_CLOEXEC));
  if (::pwrite(memory.get(), bytes.data(), bytes.size(), static_cast<off_t>(scratch_address_)) !=
      static_cast<ssize_t>(bytes.size())) {
    return ErrnoOutcome(errno, "cannot write the memory of process " + std::to_string(pid_));
  }
  *address = scratch_address_;
  return {};
}

Outcome Injector::ReadScratch(void* bytes, size_t size) {
  UniqueFd memory(::open(ProcFile(pid_, "mem").c_str(), O_RDONLY | O_CLOEXEC));
  if (::pread(memory.get(), bytes, size, static_cast<off_t>(scratch_address_)) != static_cast<ssize_t>(size)) {
    return ErrnoOutcome(errno, "cannot read the memory of process " + std::to_string(pid_));
  }
  return {};
}

#else

struct Injector::Registers {};

Outcome Injector::Attach(pid_t, std::unique_ptr<Injector>*) {
  return Outcome(Code::kUnavailable,
                 "the actions close and reopen need x86_64; close the descriptor before the checkpoint (beforeCheckpoint)");
}
Injector::Injector(pid_t pid, pid_t thread) : pid_(pid), thread_(thread) {}
Injector::~Injector() = default;
Outcome Injector::Call(long, const std::array<uint64_t, 6>&, long*) { return Outcome(Code::kUnavailable, "x86_64 only"); }
Outcome Injector::WriteScratch(std::string_view, uint64_t*) { return Outcome(Code::kUnavailable, "x86_64 only"); }
Outcome Injector::ReadScratch(void*, size_t) { return Outcome(Code::kUnavailable, "x86_64 only"); }

#endif

}  // namespace thaw::init
