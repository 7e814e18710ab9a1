#include "agent/init/line_server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>
#include <vector>

namespace thaw::init {
namespace {

// A server on a thread of its own; clients are plain blocking sockets.
class LineServerTest : public testing::Test {
 protected:
  LineServerTest() {
    char name[] = "/tmp/line_server_test.XXXXXX";
    dir_ = ::mkdtemp(name);
    options_.path = dir_ + "/s.sock";
  }
  ~LineServerTest() override {
    if (thread_.joinable()) {
      const int fd = Connect();
      Send(fd, "stop\n");
      thread_.join();
      ::close(fd);
    }
    std::filesystem::remove_all(dir_);
  }

  void Serve() {
    server_ = std::make_unique<LineServer>(
        loop_, options_,
        LineServer::Callbacks{.on_line =
                                  [this](uint64_t peer, std::string_view line) {
                                    if (line == "stop") return loop_.Stop();
                                    if (line == "all") return server_->SendToAll("event");
                                    if (line == "bye") {
                                      server_->Send(peer, "bye");
                                      return server_->CloseAfterSending(peer);
                                    }
                                    server_->Send(peer, "got " + std::string(line));
                                  },
                              .on_too_long = [this](uint64_t peer) { server_->Send(peer, "too long"); },
                              .on_closed = nullptr});
    ASSERT_TRUE(server_->Listen().ok());
    thread_ = std::thread([this] { loop_.Run(); });
  }

  int Connect() const {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, options_.path.c_str());
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    const timeval limit{5, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
  }
  static void Send(int fd, const std::string& text) { (void)!::send(fd, text.data(), text.size(), MSG_NOSIGNAL); }
  // Up to the newline; "<end>" when the peer closes.
  static std::string Receive(int fd) {
    std::string line;
    char c = 0;
    while (true) {
      const ssize_t count = ::recv(fd, &c, 1, 0);
      if (count == 0) return line.empty() ? "<end>" : line;
      if (count < 0) return "<error>";
      if (c == '\n') return line;
      line += c;
    }
  }

  std::string dir_;
  LineServer::Options options_;
  EventLoop loop_;
  std::unique_ptr<LineServer> server_;
  std::thread thread_;
};

TEST_F(LineServerTest, SeveralLinesInOnePieceAndOneLineInSeveral) {
  Serve();
  const int fd = Connect();
  Send(fd, "a\nb\nc");
  EXPECT_EQ(Receive(fd), "got a");
  EXPECT_EQ(Receive(fd), "got b");
  Send(fd, "c\n");
  EXPECT_EQ(Receive(fd), "got cc");
  ::close(fd);
}

TEST_F(LineServerTest, AnEventGoesToAll) {
  Serve();
  const int first = Connect();
  const int second = Connect();
  Send(second, "x\n");
  EXPECT_EQ(Receive(second), "got x");
  Send(first, "all\n");
  EXPECT_EQ(Receive(first), "event");
  EXPECT_EQ(Receive(second), "event");
  ::close(first);
  ::close(second);
}

TEST_F(LineServerTest, ALineBeyondTheLimitIsAnsweredAndEndsTheConnection) {
  options_.line_limit = 100;
  Serve();
  const int fd = Connect();
  Send(fd, std::string(100, 'x') + "\n");
  EXPECT_EQ(Receive(fd), "got " + std::string(100, 'x'));
  Send(fd, std::string(101, 'x') + "\n");
  EXPECT_EQ(Receive(fd), "too long");
  EXPECT_EQ(Receive(fd), "<end>");
  ::close(fd);
}

TEST_F(LineServerTest, APeerBeyondTheConnectionLimitIsTurnedAway) {
  options_.connection_limit = 1;
  Serve();
  const int first = Connect();
  Send(first, "a\n");
  EXPECT_EQ(Receive(first), "got a");
  const int second = Connect();
  EXPECT_EQ(Receive(second), "<end>");
  ::close(second);
  // The first is still served, and its end makes room (for the fixture's `stop`).
  Send(first, "bye\n");
  EXPECT_EQ(Receive(first), "bye");
  EXPECT_EQ(Receive(first), "<end>");
  ::close(first);
}

TEST_F(LineServerTest, AReaderThatNeverReadsIsDroppedNotBuffered) {
  options_.output_limit = 1000;
  Serve();
  const int deaf = Connect();
  const int small = 1024;
  ::setsockopt(deaf, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  const std::string line(500, 'x');
  ssize_t sent = 0;
  for (int i = 0; i < 100'000 && sent >= 0; ++i) sent = ::send(deaf, (line + "\n").data(), 501, MSG_NOSIGNAL);
  EXPECT_LT(sent, 0);  // the server closed it
  ::close(deaf);
}

TEST_F(LineServerTest, TheSocketHasExactlyTheModeAskedForAndReplacesAStaleOne) {
  options_.mode = 0600;
  ASSERT_EQ(::mknod(options_.path.c_str(), S_IFREG | 0644, 0), 0);
  Serve();
  struct stat info {};
  ASSERT_EQ(::stat(options_.path.c_str(), &info), 0);
  EXPECT_TRUE(S_ISSOCK(info.st_mode));
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

}  // namespace
}  // namespace thaw::init
