// What a call through UnixFunctionDialer costs beside a bare write and read on the same socket. Run by hand:
// function_connection_bench [calls]
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "agent/invoke/unix_function_dialer.h"
#include "tests/support/scripted_unix_server.h"

namespace {

using thaw::testing::ScriptedUnixServer;

void Print(const char* what, std::vector<double>& micros) {
  std::sort(micros.begin(), micros.end());
  std::printf("%-34s p50 %6.1f us   p95 %6.1f us\n", what, micros[micros.size() / 2],
              micros[micros.size() * 95 / 100]);
}

}  // namespace

int main(int argc, char** argv) {
  const int calls = argc > 1 ? std::atoi(argv[1]) : 20000;
  constexpr absl::string_view kRequest = "POST /call HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nping";
  constexpr absl::string_view kAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong";
  thaw::testing::TempDir dir;
  ScriptedUnixServer server(
      [&](ScriptedUnixServer::Connection& connection) {
        while (connection.ReadRequest()) connection.Send(kAnswer);
      },
      dir.File("lsnr.sock"));

  std::vector<double> micros;
  {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, server.path().data(), server.path().size());
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return 1;
    char answer[4096];
    for (int i = 0; i < calls; ++i) {
      const absl::Time start = absl::Now();
      if (::send(fd, kRequest.data(), kRequest.size(), 0) < 0 || ::recv(fd, answer, sizeof(answer), 0) <= 0) return 1;
      micros.push_back(absl::ToDoubleMicroseconds(absl::Now() - start));
    }
    ::close(fd);
  }
  Print("bare write and read", micros);

  thaw::agent::UnixFunctionDialer dialer;
  const auto connection = dialer.NewConnection(dir.path());
  for (const bool redial : {false, true}) {
    micros.clear();
    for (int i = 0; i < calls; ++i) {
      if (redial) connection->Close();
      thaw::agent::FunctionRequest request;
      request.body = "ping";
      request.deadline = absl::Now() + absl::Seconds(30);
      absl::Notification called;
      const absl::Time start = absl::Now();
      connection->Call(std::move(request), [&](absl::StatusOr<thaw::agent::FunctionReply> reply) {
        if (!reply.ok()) std::abort();
        micros.push_back(absl::ToDoubleMicroseconds(absl::Now() - start));
        called.Notify();
      });
      called.WaitForNotification();
    }
    Print(redial ? "call on a new connection" : "call on a kept connection", micros);
  }
  return 0;
}
