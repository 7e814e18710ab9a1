#include "agent/invoke/unix_function_dialer.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "agent/invoke/headers.h"
#include "agent/invoke/listener.h"
#include "common/status/reasons.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/scripted_unix_server.h"

namespace thaw::agent {
namespace {

using testing::ScriptedUnixServer;
using testing::TempDir;
using Server = ScriptedUnixServer;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr absl::Duration kSoon = absl::Seconds(20);

// A function's directory with a server in it behind a relative link, as FDKs make it.
class UnixFunctionDialerTest : public ::testing::Test {
 protected:
  void Serve(Server::Handler handler, int backlog = 16) {
    server_.reset();
    ::unlink(dir_.File("real.sock").c_str());
    server_ = std::make_unique<Server>(std::move(handler), dir_.File("real.sock"), backlog);
    Link("real.sock");
  }

  void Link(const std::string& target) {
    ::unlink(dir_.File("lsnr.sock").c_str());
    ASSERT_EQ(::symlink(target.c_str(), dir_.File("lsnr.sock").c_str()), 0);
  }

  static FunctionRequest Request(std::string body = "", absl::Duration time = kSoon) {
    FunctionRequest request;
    request.headers = {{"Fn-Call-Id", "c1"}};
    request.body = std::move(body);
    request.deadline = absl::Now() + time;
    return request;
  }

  absl::StatusOr<FunctionReply> Call(FunctionConnection& connection, FunctionRequest request) {
    absl::Notification called;
    absl::StatusOr<FunctionReply> result;
    const auto caller = std::this_thread::get_id();
    connection.Call(std::move(request), [&](absl::StatusOr<FunctionReply> reply) {
      EXPECT_NE(std::this_thread::get_id(), caller);
      result = std::move(reply);
      called.Notify();
    });
    called.WaitForNotification();
    return result;
  }

  absl::StatusOr<FunctionReply> CallOnce(FunctionRequest request = Request()) {
    const auto connection = dialer_.NewConnection(dir_.path());
    return Call(*connection, std::move(request));
  }

  // Serves `words` to each call and hangs up.
  absl::StatusOr<FunctionReply> CallOf(const std::string& words) {
    Serve([words](Server::Connection& connection) {
      connection.ReadRequest();
      connection.Send(words);
    });
    return CallOnce();
  }

  TempDir dir_;
  UnixFunctionDialer dialer_{{FunctionLimits{1 << 20, 8 << 10}, 2}};
  std::unique_ptr<Server> server_;
};

void ExpectSent(const absl::Status& status, absl::StatusCode code, absl::string_view reason) {
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_EQ(ReasonOf(status), reason) << status;
  EXPECT_TRUE(WasSent(status)) << status;
}

TEST_F(UnixFunctionDialerTest, CallIsOneHttpExchange) {
  std::string head, body;
  Serve([&](Server::Connection& connection) {
    while (connection.ReadRequest()) {
      head = connection.head();
      body = connection.body();
      connection.Answer("hello", "Content-Type: text/plain\r\nX-Two: a\r\nX-Two: b\r\n");
    }
  });
  FunctionRequest request = Request("ping");
  request.headers = {{"Content-Type", "text/x"}, {"Host", "evil"}, {"Content-Length", "99"},
                     {"Transfer-Encoding", "chunked"}, {"Connection", "close"}};
  const auto reply = CallOnce(std::move(request));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(reply->body, "hello");
  EXPECT_EQ(FindHeader(reply->headers, "content-type"), "text/plain");
  EXPECT_EQ(std::count_if(reply->headers.begin(), reply->headers.end(),
                          [](const auto& header) { return header.first == "X-Two"; }),
            2);
  EXPECT_EQ(head, "POST /call HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/x\r\nContent-Length: 4\r\n\r\n");
  EXPECT_EQ(body, "ping");
}

TEST_F(UnixFunctionDialerTest, EmptyBodyHasLengthZero) {
  std::string head;
  Serve([&](Server::Connection& connection) {
    connection.ReadRequest();
    head = connection.head();
    connection.Answer("");
  });
  const auto reply = CallOnce();
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->body, "");
  EXPECT_THAT(head, HasSubstr("Content-Length: 0\r\n"));
}

TEST_F(UnixFunctionDialerTest, CallsShareOneConnection) {
  Serve([&](Server::Connection& connection) {
    while (connection.ReadRequest()) connection.Answer(connection.body());
  });
  const auto connection = dialer_.NewConnection(dir_.path());
  for (int i = 0; i < 100; ++i) {
    const auto reply = Call(*connection, Request(absl::StrCat("body ", i)));
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->body, absl::StrCat("body ", i));
  }
  EXPECT_EQ(server_->accepted(), 1);
}

TEST_F(UnixFunctionDialerTest, DoneMayCallAgain) {
  Serve([&](Server::Connection& connection) {
    while (connection.ReadRequest()) connection.Answer("x");
  });
  const auto connection = dialer_.NewConnection(dir_.path());
  absl::Notification finished;
  int calls = 0;
  std::function<void(absl::StatusOr<FunctionReply>)> again = [&](absl::StatusOr<FunctionReply> reply) {
    EXPECT_TRUE(reply.ok()) << reply.status();
    if (++calls == 50) {
      finished.Notify();
    } else {
      connection->Call(Request(), again);
    }
  };
  connection->Call(Request(), again);
  finished.WaitForNotification();
  EXPECT_EQ(server_->accepted(), 1);
}

TEST_F(UnixFunctionDialerTest, LargeBodiesGoBothWays) {
  Serve([&](Server::Connection& connection) {
    while (connection.ReadRequest()) connection.Answer(connection.body());
  });
  std::string body(1 << 20, '\0');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 31);
  const auto connection = dialer_.NewConnection(dir_.path());
  for (int i = 0; i < 3; ++i) {
    const auto reply = Call(*connection, Request(body));
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_TRUE(reply->body == body);
  }
  EXPECT_EQ(server_->accepted(), 1);
}

TEST_F(UnixFunctionDialerTest, ChunkedAnswerIsPutTogether) {
  const auto reply = CallOf(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\nTrailer: t\r\n\r\n");
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->body, "hello, world");
}

TEST_F(UnixFunctionDialerTest, AnswerThatComesByteByByteIsPutTogether) {
  Serve([](Server::Connection& connection) {
    connection.ReadRequest();
    for (const char c : absl::string_view("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")) {
      connection.Send(absl::string_view(&c, 1));
      std::this_thread::yield();
    }
    connection.AwaitClose();
  });
  const auto reply = CallOnce();
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->body, "hi");
}

TEST_F(UnixFunctionDialerTest, AnswerWithoutLengthEndsWithTheConnection) {
  const auto reply = CallOf("HTTP/1.0 200 OK\r\n\r\nall of it");
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->body, "all of it");
}

TEST_F(UnixFunctionDialerTest, ContinueBeforeTheAnswerIsPassedOver) {
  const auto reply = CallOf("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nX: y\r\n\r\n"
                            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(reply->body, "ok");
}

TEST_F(UnixFunctionDialerTest, ContinueWithoutEndIsABadAnswer) {
  Serve([](Server::Connection& connection) {
    connection.ReadRequest();
    while (connection.Send("HTTP/1.1 100 Continue\r\n\r\n")) {
    }
  });
  ExpectSent(CallOnce().status(), absl::StatusCode::kInternal, reason::kFunctionBadAnswer);
}

TEST_F(UnixFunctionDialerTest, AnyFinalStatusIsAReply) {
  for (const int status : {200, 204, 404, 500, 502, 504}) {
    const auto reply = CallOf(absl::StrCat("HTTP/1.1 ", status, " X\r\nContent-Length: 0\r\n\r\n"));
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->status, status);
  }
}

TEST_F(UnixFunctionDialerTest, FunctionThatClosesAfterEachAnswerIsDialledAnew) {
  Serve([](Server::Connection& connection) {
    connection.ReadRequest();
    connection.Answer("once", "Connection: close\r\n");
  });
  const auto connection = dialer_.NewConnection(dir_.path());
  for (int i = 1; i <= 5; ++i) {
    ASSERT_TRUE(Call(*connection, Request()).ok());
    EXPECT_EQ(server_->accepted(), i);
  }
}

TEST_F(UnixFunctionDialerTest, IdleConnectionThatTheFunctionClosedIsDialledAnew) {
  // Says keep-alive, but hangs up.
  Serve([&](Server::Connection& connection) {
    connection.ReadRequest();
    connection.Answer("x");
    // The handler's return closes.
  });
  const auto connection = dialer_.NewConnection(dir_.path());
  for (int i = 1; i <= 3; ++i) {
    const auto reply = Call(*connection, Request());
    ASSERT_TRUE(reply.ok()) << reply.status();
    // Until the server has closed, a call might still be written to it.
    while (server_->open() > 0) std::this_thread::yield();
    EXPECT_EQ(server_->accepted(), i);
  }
}

TEST_F(UnixFunctionDialerTest, BytesAfterTheAnswerAreNotTheNextCallsAnswer) {
  Serve([](Server::Connection& connection) {
    while (connection.ReadRequest()) {
      connection.Send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmineHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    }
  });
  const auto connection = dialer_.NewConnection(dir_.path());
  for (int i = 0; i < 3; ++i) {
    const auto reply = Call(*connection, Request());
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(reply->body, "mine");
  }
  EXPECT_EQ(server_->accepted(), 3);
}

TEST_F(UnixFunctionDialerTest, GarbageIsABadAnswer) {
  for (const char* words : {"garbage\r\n\r\n", "\1\2\3", "HTTP/9.9 200 OK\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"}) {
    SCOPED_TRACE(words);
    ExpectSent(CallOf(std::string(words) + "\r\n\r\n").status(), absl::StatusCode::kInternal, reason::kFunctionBadAnswer);
  }
}

TEST_F(UnixFunctionDialerTest, ConnectionThatEndsTooEarlyIsAnExit) {
  for (const char* words : {"", "HTT", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                            "HTTP/1.1 100 Continue\r\n\r\n"}) {
    SCOPED_TRACE(words);
    ExpectSent(CallOf(words).status(), absl::StatusCode::kInternal, reason::kFunctionExited);
  }
}

TEST_F(UnixFunctionDialerTest, FunctionThatNeverAnswersIsATimeout) {
  Serve([](Server::Connection& connection) {
    while (connection.ReadRequest()) {
    }
  });
  const auto connection = dialer_.NewConnection(dir_.path());
  const absl::Time before = absl::Now();
  ExpectSent(Call(*connection, Request("", absl::Milliseconds(50))).status(), absl::StatusCode::kDeadlineExceeded,
             reason::kFunctionTimeout);
  EXPECT_GE(absl::Now() - before, absl::Milliseconds(50));
  EXPECT_LT(absl::Now() - before, absl::Seconds(10));
}

TEST_F(UnixFunctionDialerTest, FunctionThatDribblesForEverIsATimeout) {
  Serve([](Server::Connection& connection) {
    connection.ReadRequest();
    connection.Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    while (connection.Send("1\r\nx\r\n")) absl::SleepFor(absl::Milliseconds(1));
  });
  ExpectSent(CallOnce(Request("", absl::Milliseconds(50))).status(), absl::StatusCode::kDeadlineExceeded,
             reason::kFunctionTimeout);
}

TEST_F(UnixFunctionDialerTest, FunctionThatDoesNotReadIsATimeoutAndCountsAsSent) {
  absl::Notification done;
  Serve([&](Server::Connection&) { done.WaitForNotification(); });
  const absl::Status status = CallOnce(Request(std::string(8 << 20, 'x'), absl::Milliseconds(50))).status();
  done.Notify();
  // The server may come to its handler only now, and that names what lies on this stack.
  server_.reset();
  ExpectSent(status, absl::StatusCode::kDeadlineExceeded, reason::kFunctionTimeout);
}

TEST_F(UnixFunctionDialerTest, AnswerBeforeTheWholeRequestWasReadIsTheAnswer) {
  Serve([](Server::Connection& connection) {
    connection.Answer("enough");
    connection.AwaitClose();
  });
  const auto reply = CallOnce(Request(std::string(8 << 20, 'x')));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->body, "enough");
}

TEST_F(UnixFunctionDialerTest, AnswerOfAFunctionThatHungUpOnALargeRequestIsTheAnswer) {
  Serve([](Server::Connection& connection) {
    connection.ReadHead();
    connection.Answer("too much");
  });
  const auto reply = CallOnce(Request(std::string(8 << 20, 'x')));
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->body, "too much");
}

TEST_F(UnixFunctionDialerTest, FunctionThatHangsUpOnALargeRequestIsAnExitAndCountsAsSent) {
  Serve([](Server::Connection& connection) { connection.ReadHead(); });
  ExpectSent(CallOnce(Request(std::string(8 << 20, 'x'))).status(), absl::StatusCode::kInternal,
             reason::kFunctionExited);
}

TEST_F(UnixFunctionDialerTest, EndlessBodyIsTooLarge) {
  for (const char* framing : {"Transfer-Encoding: chunked\r\n\r\n", "\r\n"}) {
    Serve([framing](Server::Connection& connection) {
      connection.ReadRequest();
      connection.Send(absl::StrCat("HTTP/1.1 200 OK\r\n", framing));
      const std::string part = absl::StrCat("1000\r\n", std::string(4096, 'x'), "\r\n");
      while (connection.Send(part)) {
      }
    });
    const absl::Status status = CallOnce().status();
    ExpectSent(status, absl::StatusCode::kInternal, reason::kFunctionAnswerTooLarge);
    EXPECT_EQ(ReasonMetadata(status, "limit_bytes"), absl::StrCat(1 << 20));
  }
}

TEST_F(UnixFunctionDialerTest, AnnouncedBodyBeyondTheLimitIsTooLargeAtOnce) {
  Serve([](Server::Connection& connection) {
    connection.ReadRequest();
    connection.Send("HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n");
    connection.AwaitClose();
  });
  ExpectSent(CallOnce().status(), absl::StatusCode::kInternal, reason::kFunctionAnswerTooLarge);
}

TEST_F(UnixFunctionDialerTest, BodyOfExactlyTheLimitIsAnAnswer) {
  Serve([](Server::Connection& connection) {
    connection.ReadRequest();
    connection.Answer(std::string(1 << 20, 'x'));
  });
  const auto reply = CallOnce();
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->body.size(), 1u << 20);
}

TEST_F(UnixFunctionDialerTest, HugeHeadersAreTooLarge) {
  ExpectSent(CallOf(absl::StrCat("HTTP/1.1 200 OK\r\nX: ", std::string(9 << 10, 'x'), "\r\n\r\n")).status(),
             absl::StatusCode::kInternal, reason::kFunctionAnswerTooLarge);
}

TEST_F(UnixFunctionDialerTest, HeadWithoutEndIsTooLarge) {
  for (const char* start : {"HTTP/1.1 200 ", "HTTP/1.1 200 OK\r\nX: ",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: "}) {
    SCOPED_TRACE(start);
    Serve([start](Server::Connection& connection) {
      connection.ReadRequest();
      connection.Send(start);
      const std::string part(4096, 'x');
      while (connection.Send(part)) {
      }
    });
    const absl::Status status = CallOnce().status();
    EXPECT_TRUE(absl::IsInternal(status)) << status;
    EXPECT_TRUE(WasSent(status));
  }
}

TEST_F(UnixFunctionDialerTest, CloseCancelsTheCallThatIsUnderWay) {
  absl::Notification reached, gone;
  Serve([&](Server::Connection& connection) {
    connection.ReadRequest();
    reached.Notify();
    connection.AwaitClose();
    gone.Notify();
  });
  const auto connection = dialer_.NewConnection(dir_.path());
  absl::Notification called;
  absl::Status status;
  connection->Call(Request(), [&](absl::StatusOr<FunctionReply> reply) {
    status = reply.status();
    called.Notify();
  });
  reached.WaitForNotification();
  connection->Close();
  called.WaitForNotification();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_TRUE(WasSent(status));
  gone.WaitForNotification();
}

TEST_F(UnixFunctionDialerTest, ClosedConnectionIsDialledAnew) {
  Serve([](Server::Connection& connection) {
    while (connection.ReadRequest()) connection.Answer("x");
  });
  const auto connection = dialer_.NewConnection(dir_.path());
  connection->Close();
  ASSERT_TRUE(Call(*connection, Request()).ok());
  connection->Close();
  // Nothing of it is left at the function by then.
  while (server_->open() > 0) std::this_thread::yield();
  ASSERT_TRUE(Call(*connection, Request()).ok());
  EXPECT_EQ(server_->accepted(), 2);
}

TEST_F(UnixFunctionDialerTest, DestructionCancelsTheCallThatIsUnderWay) {
  absl::Notification reached;
  Serve([&](Server::Connection& connection) {
    connection.ReadRequest();
    reached.Notify();
    connection.AwaitClose();
  });
  absl::Notification called;
  auto connection = dialer_.NewConnection(dir_.path());
  connection->Call(Request(), [&](absl::StatusOr<FunctionReply> reply) {
    EXPECT_TRUE(absl::IsCancelled(reply.status()));
    called.Notify();
  });
  reached.WaitForNotification();
  connection.reset();
  called.WaitForNotification();
}

TEST_F(UnixFunctionDialerTest, SecondCallAtATimeIsRefusedAndTheFirstGoesOn) {
  absl::Notification reached, go;
  Serve([&](Server::Connection& connection) {
    connection.ReadRequest();
    reached.Notify();
    go.WaitForNotification();
    connection.Answer("first");
  });
  const auto connection = dialer_.NewConnection(dir_.path());
  absl::Notification called;
  connection->Call(Request(), [&](absl::StatusOr<FunctionReply> reply) {
    EXPECT_TRUE(reply.ok()) << reply.status();
    called.Notify();
  });
  reached.WaitForNotification();
  const absl::Status second = Call(*connection, Request()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(second)) << second;
  EXPECT_FALSE(WasSent(second));
  go.Notify();
  called.WaitForNotification();
}

TEST_F(UnixFunctionDialerTest, RequestsThatHttpCantCarryAreNotSent) {
  Serve([](Server::Connection& connection) {
    while (connection.ReadRequest()) connection.Answer("x");
  });
  std::vector<FunctionRequest> requests(5, Request());
  requests[0].headers = {{"X\r\nEvil", "v"}};
  requests[1].headers = {{"X", "v\r\nEvil: yes"}};
  requests[2].headers = {{"", "v"}};
  requests[3].target = "/call HTTP/1.1\r\nEvil: yes\r\n\r\n";
  requests[4].method = "PO ST";
  for (const auto& request : requests) {
    const absl::Status status = CallOnce(request).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_FALSE(WasSent(status));
  }
  EXPECT_EQ(server_->accepted(), 0);
}

TEST_F(UnixFunctionDialerTest, PassedDeadlineIsATimeoutWithNothingSent) {
  Serve([](Server::Connection& connection) { connection.AwaitClose(); });
  const absl::Status status = CallOnce(Request("", -absl::Seconds(1))).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status));
  EXPECT_EQ(ReasonOf(status), reason::kFunctionTimeout);
  EXPECT_FALSE(WasSent(status));
  EXPECT_EQ(server_->accepted(), 0);
}

// --- what is dialled ---

TEST_F(UnixFunctionDialerTest, NoSocketIsUnavailableWithNothingSent) {
  const absl::Status status = CallOnce().status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_FALSE(WasSent(status));
}

TEST_F(UnixFunctionDialerTest, SocketThatNobodyListensAtIsUnavailableWithNothingSent) {
  Serve([](Server::Connection&) {});
  server_.reset();  // Its file stays.
  const absl::Status status = CallOnce().status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_FALSE(WasSent(status));
}

TEST_F(UnixFunctionDialerTest, FullQueueOfConnectionsIsWaitedFor) {
  // Nobody accepts until two connections stand in the queue, which holds no more.
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = dir_.File("real.sock");
  std::memcpy(address.sun_path, path.data(), path.size());
  ASSERT_EQ(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(listener, 0), 0);
  Link("real.sock");
  const int waiting = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::connect(waiting, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);

  const auto connection = dialer_.NewConnection(dir_.path());
  const absl::Status status = Call(*connection, Request("", absl::Milliseconds(50))).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_FALSE(WasSent(status));

  absl::Notification called;
  connection->Call(Request(), [&](absl::StatusOr<FunctionReply> reply) {
    EXPECT_TRUE(reply.ok()) << reply.status();
    called.Notify();
  });
  const int first = ::accept(listener, nullptr, nullptr);
  const int second = ::accept(listener, nullptr, nullptr);
  constexpr absl::string_view kAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  EXPECT_EQ(::send(second, kAnswer.data(), kAnswer.size(), 0), static_cast<ssize_t>(kAnswer.size()));
  called.WaitForNotification();
  for (const int fd : {listener, waiting, first, second}) ::close(fd);
}

TEST_F(UnixFunctionDialerTest, LinksThatLeadElsewhereAreRefused) {
  Serve([](Server::Connection& connection) {
    connection.ReadRequest();
    connection.Answer("reached");
  });
  ASSERT_EQ(::mkdir(dir_.File("sub").c_str(), 0755), 0);
  ASSERT_EQ(::symlink("../real.sock", dir_.File("sub/lsnr.sock").c_str()), 0);
  ASSERT_EQ(::symlink("real.sock", dir_.File("second").c_str()), 0);
  const int file = ::open(dir_.File("file").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  ASSERT_GE(file, 0);
  ::close(file);
  // Absolute; out of the directory; down and up again; to another link; to a file; to a directory.
  for (const std::string& target : {dir_.File("real.sock"), std::string("../x/real.sock"), std::string("sub/../real.sock"),
                                    std::string(".."), std::string("second"), std::string("file"), std::string("sub")}) {
    SCOPED_TRACE(target);
    Link(target);
    const absl::Status status = CallOnce().status();
    EXPECT_TRUE(absl::IsInternal(status)) << status;
    EXPECT_EQ(ReasonOf(status), reason::kFunctionBadAnswer);
    EXPECT_FALSE(WasSent(status));
    EXPECT_EQ(dialer_.AwaitListener(dir_.path(), absl::Now() + kSoon, [] { return true; }), status);
  }
  const auto connection = dialer_.NewConnection(dir_.File("sub"));
  EXPECT_TRUE(absl::IsInternal(Call(*connection, Request()).status()));
  EXPECT_EQ(server_->accepted(), 0);

  Link("./real.sock");
  EXPECT_TRUE(CallOnce().ok());
}

TEST_F(UnixFunctionDialerTest, SocketWithoutALinkIsDialled) {
  Server server([](Server::Connection& connection) {
    connection.ReadRequest();
    connection.Answer("direct");
  }, dir_.File("lsnr.sock"));
  const auto reply = CallOnce();
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->body, "direct");
}

TEST_F(UnixFunctionDialerTest, LinkSwappedBetweenCheckAndDialDoesNotMatter) {
  TempDir elsewhere;
  Server other([](Server::Connection&) {}, elsewhere.File("other.sock"));
  Serve([](Server::Connection&) {});
  const auto checked = OpenListener(dir_.path());
  ASSERT_TRUE(checked.ok()) << checked.status();
  // Both what the function could swap: the link, and the socket itself for a link to elsewhere.
  Link(other.path());
  ASSERT_EQ(::rename(dir_.File("real.sock").c_str(), dir_.File("old.sock").c_str()), 0);
  ASSERT_EQ(::symlink(other.path().c_str(), dir_.File("real.sock").c_str()), 0);
  const auto connected = ConnectTo(*checked);
  ASSERT_TRUE(connected.ok()) << connected.status();
  while (server_->accepted() == 0) std::this_thread::yield();
  EXPECT_EQ(other.accepted(), 0);
}

TEST_F(UnixFunctionDialerTest, ManyConnectionsDoNotWaitForEachOther) {
  Serve([](Server::Connection& connection) {
    while (connection.ReadRequest()) connection.Answer(connection.body());
  }, 64);
  constexpr int kConnections = 32, kCalls = 50;
  std::vector<std::unique_ptr<FunctionConnection>> connections;
  std::vector<std::function<void(absl::StatusOr<FunctionReply>)>> loops(kConnections);
  std::vector<int> calls(kConnections, 0);
  absl::BlockingCounter left(kConnections);
  for (int i = 0; i < kConnections; ++i) {
    connections.push_back(dialer_.NewConnection(dir_.path()));
    loops[i] = [&, i](absl::StatusOr<FunctionReply> reply) {
      EXPECT_TRUE(reply.ok()) << reply.status();
      if (++calls[i] == kCalls) {
        left.DecrementCount();
      } else {
        connections[i]->Call(Request("x"), loops[i]);
      }
    };
  }
  for (int i = 0; i < kConnections; ++i) connections[i]->Call(Request("x"), loops[i]);
  left.Wait();
  EXPECT_EQ(server_->accepted(), kConnections);
}

TEST_F(UnixFunctionDialerTest, ClosingFromManyThreadsLosesNoDone) {
  Serve([](Server::Connection& connection) {
    while (connection.ReadRequest()) connection.Answer("x");
  }, 64);
  const auto connection = dialer_.NewConnection(dir_.path());
  std::atomic<bool> stop{false};
  std::thread closer([&] {
    while (!stop) connection->Close();
  });
  int answered = 0, cancelled = 0;
  for (int i = 0; i < 300; ++i) {
    const auto reply = Call(*connection, Request());
    (reply.ok() ? answered : cancelled)++;
    if (!reply.ok()) {
      EXPECT_TRUE(absl::IsCancelled(reply.status())) << reply.status();
    }
  }
  stop = true;
  closer.join();
  EXPECT_EQ(answered + cancelled, 300);
}

// --- AwaitListener ---

TEST_F(UnixFunctionDialerTest, ListenerThatIsThereIsNotWaitedFor) {
  Serve([](Server::Connection&) {});
  EXPECT_TRUE(dialer_.AwaitListener(dir_.path(), absl::InfinitePast(), [] { return true; }).ok());
}

TEST_F(UnixFunctionDialerTest, ListenerIsSeenWhenItComes) {
  absl::Notification waiting;
  std::thread function([&] {
    waiting.WaitForNotification();
    Serve([](Server::Connection&) {});
  });
  const absl::Status status = dialer_.AwaitListener(dir_.path(), absl::Now() + kSoon, [&] {
    if (!waiting.HasBeenNotified()) waiting.Notify();
    return true;
  });
  function.join();
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(UnixFunctionDialerTest, ListenerThatNeverComesIsDeadlineExceeded) {
  Link("not-there.sock");
  int asked = 0;
  const absl::Status status = dialer_.AwaitListener(dir_.path(), absl::Now() + absl::Milliseconds(100), [&] {
    ++asked;
    return true;
  });
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_EQ(ReasonOf(status), reason::kFunctionNeverListened);
  EXPECT_GE(asked, 4);
}

TEST_F(UnixFunctionDialerTest, FunctionThatEndsBeforeItListensIsAnExit) {
  int asked = 0;
  const absl::Status status =
      dialer_.AwaitListener(dir_.path(), absl::InfiniteFuture(), [&] { return ++asked < 3; });
  EXPECT_TRUE(absl::IsInternal(status)) << status;
  EXPECT_EQ(ReasonOf(status), reason::kFunctionExited);
}

TEST_F(UnixFunctionDialerTest, OtherFilesInTheDirectoryDoNotDisturb) {
  std::atomic<bool> stop{false};
  std::thread function([&] {
    for (int i = 0; !stop; ++i) {
      const int fd = ::open(dir_.File(absl::StrCat("f", i % 100)).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
      ::close(fd);
      ::unlink(dir_.File(absl::StrCat("f", i % 100)).c_str());
    }
  });
  int asked = 0;
  const absl::Status status = dialer_.AwaitListener(dir_.path(), absl::Now() + absl::Milliseconds(100), [&] {
    ++asked;
    return true;
  });
  stop = true;
  function.join();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_LE(asked, 110);
}

TEST_F(UnixFunctionDialerTest, ADialerThatGoesEndsTheCallsUnderWayAndWaitsForNoDeadline) {
  Serve([](Server::Connection& connection) {
    connection.ReadRequest();
    connection.AwaitClose();
  });
  auto dialer = std::make_unique<UnixFunctionDialer>();
  const auto connection = dialer->NewConnection(dir_.path());
  std::atomic<int> answers{0};
  absl::StatusOr<FunctionReply> reply;
  connection->Call(Request("", absl::Seconds(5)), [&](absl::StatusOr<FunctionReply> answer) {
    reply = std::move(answer);
    ++answers;
  });
  const absl::Time begun = absl::Now();
  dialer->Close();
  dialer->Join();
  EXPECT_LT(absl::Now() - begun, absl::Seconds(2));
  EXPECT_EQ(answers, 1);
  EXPECT_TRUE(absl::IsCancelled(reply.status())) << reply.status();
}

TEST_F(UnixFunctionDialerTest, AClosedDialerCancelsEveryLaterCallAndWait) {
  Serve([](Server::Connection& connection) { connection.AwaitClose(); });
  auto dialer = std::make_unique<UnixFunctionDialer>();
  const auto connection = dialer->NewConnection(dir_.path());
  dialer->Close();
  EXPECT_TRUE(absl::IsCancelled(Call(*connection, Request()).status()));
  const auto another = dialer->NewConnection(dir_.path());
  EXPECT_TRUE(absl::IsCancelled(Call(*another, Request()).status()));
  EXPECT_EQ(server_->accepted(), 0);
  ::unlink(dir_.File("lsnr.sock").c_str());
  const absl::Status waited =
      dialer->AwaitListener(dir_.path(), absl::Now() + absl::Seconds(5), [] { return true; });
  EXPECT_TRUE(absl::IsCancelled(waited)) << waited;
}

TEST_F(UnixFunctionDialerTest, ACallThatACancelledOneBeginsIsAnsweredBeforeJoinReturns) {
  Serve([](Server::Connection& connection) {
    connection.ReadRequest();
    connection.AwaitClose();
  });
  UnixFunctionDialer dialer;
  // On both threads, so that one of the two has probably ended when the other's next call comes.
  std::vector<std::unique_ptr<FunctionConnection>> connections;
  for (int i = 0; i < 4; ++i) connections.push_back(dialer.NewConnection(dir_.path()));
  std::atomic<int> answers{0};
  for (std::size_t i = 0; i < 2; ++i) {
    connections[i]->Call(Request("", absl::Seconds(5)), [&, i](const absl::StatusOr<FunctionReply>&) {
      ++answers;
      connections[i + 2]->Call(Request(), [&](const absl::StatusOr<FunctionReply>&) { ++answers; });
    });
  }
  dialer.Close();
  dialer.Join();
  EXPECT_EQ(answers, 4);
}

}  // namespace
}  // namespace thaw::agent
