#ifndef THAW_TESTS_AGENT_INIT_SLOT_CONTAINER_H_
#define THAW_TESTS_AGENT_INIT_SLOT_CONTAINER_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace thaw::init {

// Runs a shell command; stdout and stderr together.
struct ShellResult {
  int status = -1;
  std::string output;
};
ShellResult Shell(const std::string& command);

// The CRaC volume of one function version: a directory that several slots share.
class CracVolume {
 public:
  CracVolume();
  ~CracVolume();
  const std::string& host_dir() const { return dir_; }
  // Makes `name` in it and returns its path inside a container.
  std::string Make(const std::string& name);

 private:
  std::string dir_;
};

// A container with only thaw-init inside, under the profile `checkpoint`, and a connection for orders.
class SlotContainer {
 public:
  struct Options {
    std::string image;
    std::string crac_dir;       // on the host; empty: a tmpfs of 256 KiB, which is soon full
    std::string more_arguments;  // of `docker run`
    // What the container's monotonic clocks are ahead of this host's, as if it had been booted earlier.
    long boot_shift_seconds = 0;
  };
  explicit SlotContainer(const Options& options);
  ~SlotContainer();
  SlotContainer(const SlotContainer&) = delete;

  // Empty when the container runs and init takes orders, else why not.
  const std::string& error() const { return error_; }
  const std::string& name() const { return name_; }

  // Sends an order and returns its id.
  int Send(nlohmann::json order);
  // The answer to the order; events that come first are kept for WaitEvent. Null after `seconds`.
  nlohmann::json WaitAnswer(int id, double seconds = 30);
  nlohmann::json Order(nlohmann::json order) { return WaitAnswer(Send(std::move(order))); }
  // The next event of this kind; null after `seconds`.
  nlohmann::json WaitEvent(const std::string& kind, double seconds = 10);

  // Starts the test function (or `argv`) as instance `instance`.
  nlohmann::json Start(const std::string& instance, std::vector<std::string> argv = {"/test/function"});
  // One line to the function's lsnr.sock and its answer; tries for `seconds` until the function answers.
  std::string Ask(const std::string& line, double seconds = 10);

  std::string Log() const;
  uint64_t LogBytes() const;
  ShellResult Exec(const std::string& command) const;
  const std::string& iofs() const { return iofs_; }

 private:
  nlohmann::json ReadMessage(double seconds);

  std::string dir_;
  std::string iofs_;
  std::string name_;
  std::string error_;
  int fd_ = -1;
  int next_id_ = 1;
  std::string input_;
  std::vector<nlohmann::json> events_;
};

// Orders a dump into `dir`, a path inside the container.
nlohmann::json Dump(SlotContainer& slot, const std::string& dir, bool leave_running, int timeout_ms = 20000);
// The order to restore what was dumped into `dir` with this answer, as instance `instance`.
nlohmann::json RestoreOrder(const std::string& dir, const nlohmann::json& dumped, const std::string& instance);

}  // namespace thaw::init

#endif  // THAW_TESTS_AGENT_INIT_SLOT_CONTAINER_H_
