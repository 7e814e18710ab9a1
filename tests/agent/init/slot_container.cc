#include "tests/agent/init/slot_container.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace thaw::init {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr char kCapabilities[] =
    "SYS_ADMIN SYS_PTRACE NET_ADMIN SYS_TIME SETPCAP SYS_CHROOT SETUID SETGID DAC_OVERRIDE KILL CHOWN FOWNER";

std::string MakeTempDir() {
  char name[] = "/tmp/thaw-init-test.XXXXXX";
  return ::mkdtemp(name);
}

int Connect(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  ::close(fd);
  return -1;
}

Clock::time_point After(double seconds) {
  return Clock::now() + std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

}  // namespace

ShellResult Shell(const std::string& command) {
  ShellResult result;
  FILE* pipe = ::popen(("timeout 300 sh -c '" + command + "' 2>&1").c_str(), "r");
  if (pipe == nullptr) return result;
  char buffer[4096];
  size_t count = 0;
  while ((count = ::fread(buffer, 1, sizeof buffer, pipe)) > 0) result.output.append(buffer, count);
  const int status = ::pclose(pipe);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

CracVolume::CracVolume() : dir_(MakeTempDir()) { ::chmod(dir_.c_str(), 0700); }

CracVolume::~CracVolume() { fs::remove_all(dir_); }

std::string CracVolume::Make(const std::string& name) {
  ::mkdir((dir_ + "/" + name).c_str(), 0700);
  return "/cracdata/" + name;
}

SlotContainer::SlotContainer(const Options& options) : dir_(MakeTempDir()), iofs_(dir_ + "/iofs") {
  name_ = "thaw-init-test-" + dir_.substr(dir_.rfind('.') + 1);
  ::chmod(dir_.c_str(), 0711);
  fs::create_directory(dir_ + "/ctl");
  ::chmod((dir_ + "/ctl").c_str(), 0700);
  fs::create_directory(iofs_);
  ::chmod(iofs_.c_str(), 0777);
  std::string command = "docker run -d --name " + name_ + " --read-only --network none --cap-drop ALL";
  std::istringstream capabilities(kCapabilities);
  for (std::string capability; capabilities >> capability;) command += " --cap-add " + capability;
  command +=
      " --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined"
      " --tmpfs /tmp:mode=1777,exec --tmpfs /run:mode=755,exec";
  command += " -v " + dir_ + "/ctl:/run/thaw/ctl -v " + iofs_ + ":/tmp/iofs";
  command += options.crac_dir.empty() ? " --tmpfs /cracdata:mode=700,size=256k" : " -v " + options.crac_dir + ":/cracdata";
  command += " -v " THAW_INIT_BINARY ":/thaw/init:ro -v " THAW_TEST_FUNCTION_DIR ":/test:ro ";
  command += options.more_arguments;
  if (options.boot_shift_seconds == 0) {
    command += " --entrypoint /thaw/init " + options.image + " --slot";
  } else {
    command += " --entrypoint /test/boot_shift " + options.image + " " + std::to_string(options.boot_shift_seconds) +
               " /thaw/init --slot";
  }
  const ShellResult run = Shell(command);
  if (run.status != 0) {
    error_ = "docker run failed: " + run.output;
    return;
  }
  const Clock::time_point limit = After(20);
  while (fd_ < 0 && Clock::now() < limit) {
    fd_ = Connect(dir_ + "/ctl/init.sock");
    if (fd_ < 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  if (fd_ < 0) error_ = "init takes no orders: " + Shell("docker logs " + name_).output;
}

SlotContainer::~SlotContainer() {
  if (fd_ >= 0) ::close(fd_);
  Shell("docker rm -f " + name_);
  fs::remove_all(dir_);
}

int SlotContainer::Send(nlohmann::json order) {
  const int id = next_id_++;
  order["id"] = id;
  const std::string line = order.dump() + "\n";
  (void)!::send(fd_, line.data(), line.size(), MSG_NOSIGNAL);
  return id;
}

nlohmann::json SlotContainer::ReadMessage(double seconds) {
  const Clock::time_point limit = After(seconds);
  while (true) {
    const size_t end = input_.find('\n');
    if (end != std::string::npos) {
      nlohmann::json message = nlohmann::json::parse(input_.substr(0, end), nullptr, false);
      input_.erase(0, end + 1);
      return message;
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(limit - Clock::now()).count();
    pollfd wait{fd_, POLLIN, 0};
    if (left <= 0 || ::poll(&wait, 1, static_cast<int>(left)) <= 0) return nullptr;
    char buffer[4096];
    const ssize_t count = ::recv(fd_, buffer, sizeof buffer, 0);
    if (count <= 0) return nullptr;
    input_.append(buffer, static_cast<size_t>(count));
  }
}

nlohmann::json SlotContainer::WaitAnswer(int id, double seconds) {
  while (true) {
    nlohmann::json message = ReadMessage(seconds);
    if (message.is_null()) return message;
    if (message.contains("event")) {
      events_.push_back(message);
    } else if (message.value("id", 0) == id) {
      return message;
    }
  }
}

nlohmann::json SlotContainer::WaitEvent(const std::string& kind, double seconds) {
  while (true) {
    for (auto it = events_.begin(); it != events_.end(); ++it) {
      if (it->value("event", "") != kind) continue;
      nlohmann::json event = *it;
      events_.erase(it);
      return event;
    }
    nlohmann::json message = ReadMessage(seconds);
    if (message.is_null()) return message;
    if (message.contains("event")) events_.push_back(message);
  }
}

nlohmann::json SlotContainer::Start(const std::string& instance, std::vector<std::string> argv) {
  return Order({{"op", "start"},
                {"argv", std::move(argv)},
                {"env", {{"PATH", "/usr/sbin:/usr/bin:/sbin:/bin"}, {"FN_LISTENER", "unix:/tmp/iofs/lsnr.sock"}, {"FN_FORMAT", "http-stream"}}},
                {"cwd", "/"},
                {"uid", 1000},
                {"gid", 1000},
                {"instance", instance},
                {"meta", "meta of " + instance}});
}

std::string SlotContainer::Ask(const std::string& line, double seconds) {
  const Clock::time_point limit = After(seconds);
  while (Clock::now() < limit) {
    // Through the link, as the agent does it: the socket's own name belongs to another mount inside.
    const int fd = Connect(iofs_ + "/lsnr.sock");
    if (fd >= 0) {
      const timeval wait{static_cast<time_t>(seconds) + 1, 0};
      ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
      (void)!::send(fd, (line + "\n").data(), line.size() + 1, MSG_NOSIGNAL);
      std::string answer;
      char buffer[4096];
      ssize_t count = 0;
      while ((count = ::recv(fd, buffer, sizeof buffer, 0)) > 0) answer.append(buffer, static_cast<size_t>(count));
      ::close(fd);
      if (!answer.empty()) {
        if (answer.back() == '\n') answer.pop_back();
        return answer;
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return "";
}

std::string SlotContainer::Log() const {
  std::stringstream text;
  text << std::ifstream(dir_ + "/ctl/function.log.1").rdbuf();
  text.clear();
  text << std::ifstream(dir_ + "/ctl/function.log").rdbuf();
  return text.str();
}

uint64_t SlotContainer::LogBytes() const {
  uint64_t sum = 0;
  for (const char* name : {"/ctl/function.log", "/ctl/function.log.1"}) {
    std::error_code error;
    const uint64_t size = fs::file_size(dir_ + name, error);
    if (!error) sum += size;
  }
  return sum;
}

ShellResult SlotContainer::Exec(const std::string& command) const {
  return Shell("docker exec " + name_ + " sh -c \"" + command + "\"");
}

nlohmann::json Dump(SlotContainer& slot, const std::string& dir, bool leave_running, int timeout_ms) {
  return slot.Order({{"op", "dump"}, {"dir", dir}, {"leave_running", leave_running}, {"timeout_ms", timeout_ms}});
}

nlohmann::json RestoreOrder(const std::string& dir, const nlohmann::json& dumped, const std::string& instance) {
  return {{"op", "restore"},
          {"dir", dir},
          {"stdout_pipe", dumped.value("stdout_pipe", "")},
          {"stderr_pipe", dumped.value("stderr_pipe", "")},
          {"resume", dumped.value("resume", "")},
          {"uid", 1000},
          {"gid", 1000},
          {"instance", instance},
          {"meta", "m"},
          {"timeout_ms", 20000}};
}

}  // namespace thaw::init
