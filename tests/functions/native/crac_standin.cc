// Stands in for the `java` of a CRaC JDK, which can't be had here: it understands -XX:CRaCEngine, -XX:CRaCCheckpointTo and
// -XX:CRaCRestoreFrom, and behaves towards thaw-init and the agent as such a JVM with our FDK in it does. It serves
// calls, closes its listener at POST /thaw/checkpoint, writes its state below the directory, and ends by SIGKILL; a second
// one reads the state and goes on. Nothing of a real CRaC JDK is tested with it.
//
// Bodies of calls: `veto` and `fail` make the next checkpoint a 409, or one that the "JVM" can't make; `status` tells the
// process's user and capabilities; others are counted. Each answer has the count and the token of the first process.
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/functions/native/sockets.h"

namespace {

constexpr char kSocket[] = "/tmp/iofs/standin.sock";
constexpr char kLink[] = "/tmp/iofs/lsnr.sock";

std::string engine, checkpoint_to, restore_from, token, order;
long calls = 0;
std::string failure;

bool TakeOption(const std::string& argument, const std::string& name, std::string& value) {
  const std::string option = "-XX:" + name + "=";
  if (argument.compare(0, option.size(), option) != 0) return false;
  value = argument.substr(option.size());
  return true;
}

std::string Slurp(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string Capabilities() {
  const std::string status = Slurp("/proc/self/status");
  const std::size_t at = status.find("CapEff:\t");
  return at == std::string::npos ? "?" : status.substr(at + 8, 16);
}

void Send(int fd, int status, const std::string& body, bool close_after) {
  const std::string out = "HTTP/1.1 " + std::to_string(status) + " Standin\r\nContent-Type: text/plain\r\n" +
                          (close_after ? "Connection: close\r\n" : "") + "Content-Length: " + std::to_string(body.size()) +
                          "\r\n\r\n" + body;
  (void)!send(fd, out.data(), out.size(), MSG_NOSIGNAL);
}

// One request; false at the end of the connection.
bool Read(int fd, std::string& bytes, std::string& head, std::string& body) {
  while (true) {
    const std::size_t end = bytes.find("\r\n\r\n");
    if (end != std::string::npos) {
      head = bytes.substr(0, end);
      std::size_t at = head.find("ontent-Length: ");
      if (at == std::string::npos) at = head.find("ontent-length: ");
      const std::size_t size = at == std::string::npos ? 0 : strtoul(head.c_str() + at + 15, nullptr, 10);
      if (bytes.size() >= end + 4 + size) {
        body = bytes.substr(end + 4, size);
        bytes.erase(0, end + 4 + size);
        return true;
      }
    }
    char buffer[65536];
    const ssize_t got = read(fd, buffer, sizeof buffer);
    if (got <= 0) return false;
    bytes.append(buffer, static_cast<std::size_t>(got));
  }
}

// As the JVM's own Core.checkpointRestore(): returns only when it could not.
void Checkpoint() {
  if (checkpoint_to.empty() || order == "fail") {
    failure = R"({"message":"open socket","causes":[]})";
    return;
  }
  mkdir(checkpoint_to.c_str(), 0700);
  std::ofstream(checkpoint_to + "/state") << engine << ' ' << token << ' ' << calls << '\n';
  kill(getpid(), SIGKILL);
}

void Serve() {
  int listener = thaw::testing::ListenInIofs("standin.sock");
  while (true) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    std::string bytes, head, body;
    bool frozen = false;
    while (!frozen && Read(fd, bytes, head, body)) {
      if (head.compare(0, 16, "GET /thaw/probe ") == 0) {
        Send(fd, 200, failure.empty() ? "{}" : "{\"checkpointFailure\":" + failure + "}", false);
      } else if (head.compare(0, 22, "POST /thaw/checkpoint ") == 0) {
        frozen = order != "veto";
        Send(fd, frozen ? 200 : 409, frozen ? "{}" : R"({"message":"vetoed on demand","causes":[]})", frozen);
      } else if (head.find(" /thaw/") != std::string::npos) {
        // An FDK knows its questions from calls.
        Send(fd, 404, "{}", false);
      } else {
        ++calls;
        order = body;
        std::string answer = "token=" + token + " calls=" + std::to_string(calls);
        if (order == "status") answer += " uid=" + std::to_string(getuid()) + " caps=" + Capabilities() + " pid=" + std::to_string(getpid());
        if (order == "file") answer += " file=" + Slurp("/tmp/kept");
        if (order == "keep") std::ofstream("/tmp/kept") << "kept";
        Send(fd, 200, answer, false);
      }
    }
    close(fd);
    if (!frozen) continue;
    unlink(kLink);
    close(listener);
    unlink(kSocket);
    Checkpoint();
    listener = thaw::testing::ListenInIofs("standin.sock");
  }
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    TakeOption(argument, "CRaCEngine", engine) || TakeOption(argument, "CRaCCheckpointTo", checkpoint_to) ||
        TakeOption(argument, "CRaCRestoreFrom", restore_from);
  }
  if ((!checkpoint_to.empty() || !restore_from.empty()) && engine != "standin") {
    fprintf(stderr, "no -XX:CRaCEngine=standin but \"%s\"\n", engine.c_str());
    return 1;
  }
  if (restore_from.empty()) {
    token = std::to_string(getpid()) + "-" + std::to_string(time(nullptr));
  } else {
    std::string was;
    std::ifstream state(restore_from + "/state");
    if (!(state >> was >> token >> calls) || was != engine) {
      fprintf(stderr, "no state in %s\n", restore_from.c_str());
      return 1;
    }
  }
  printf("standin up, restored=%d\n", restore_from.empty() ? 0 : 1);
  fflush(stdout);
  Serve();
}
