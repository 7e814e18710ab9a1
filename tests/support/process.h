#ifndef THAW_TESTS_SUPPORT_PROCESS_H_
#define THAW_TESTS_SUPPORT_PROCESS_H_

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace thaw::testing {

// A child process of the test, killed with it.
class Process {
 public:
  // Runs argv[0]; stdout and stderr go to `log_path` (appended). `env` is added to the test's own.
  static absl::StatusOr<std::unique_ptr<Process>> Start(const std::vector<std::string>& argv, const std::string& log_path,
                                                        const std::map<std::string, std::string>& env = {});
  // Kills it if it runs.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  bool Running();
  void Signal(int signal);
  // Waits for its end; the exit code, or 128 + signal. DEADLINE_EXCEEDED when it goes on.
  absl::StatusOr<int> Wait(absl::Duration limit);
  // SIGKILL and waits.
  void Kill();
  pid_t pid() const { return pid_; }

 private:
  explicit Process(pid_t pid) : pid_(pid) {}
  const pid_t pid_;
  bool reaped_ = false;
  int exit_code_ = 0;
};

struct CommandResult {
  int exit_code = 0;
  std::string out;
  std::string err;
};

// Runs a command to its end. The limit kills it (exit code 137).
CommandResult RunCommand(const std::vector<std::string>& argv, absl::Duration limit = absl::Minutes(2),
                         const std::map<std::string, std::string>& env = {});

std::string ReadFileOrEmpty(const std::string& path);

// The `name=port` lines of a service's port file, waited for.
absl::StatusOr<std::map<std::string, int>> AwaitPortFile(const std::string& path, Process& process, absl::Duration limit);

// Asks `condition` every few milliseconds until it holds (true) or the time is up (false).
template <typename Condition>
bool Eventually(Condition condition, absl::Duration limit = absl::Seconds(20));

}  // namespace thaw::testing

#include "absl/time/clock.h"

template <typename Condition>
bool thaw::testing::Eventually(Condition condition, absl::Duration limit) {
  const absl::Time end = absl::Now() + limit;
  while (true) {
    if (condition()) return true;
    if (absl::Now() > end) return false;
    absl::SleepFor(absl::Milliseconds(20));
  }
}

#endif  // THAW_TESTS_SUPPORT_PROCESS_H_
