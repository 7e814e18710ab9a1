// DockerRuntime against an engine that misbehaves; how it gets on with a real one is docker_runtime_host_test.cc's.
#include "agent/container/docker_runtime.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/status/reasons.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/scripted_unix_server.h"

namespace thaw::agent {
namespace {

using testing::ScriptedUnixServer;
using testing::TempDir;
using Connection = ScriptedUnixServer::Connection;
using ::testing::HasSubstr;

constexpr char kVersion[] = R"({"ApiVersion":"1.45","MinAPIVersion":"1.24"})";

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

// Answers /version and hands all else to `rest`, which has read the request's head and body.
ScriptedUnixServer::Handler Engine(std::function<void(Connection&)> rest) {
  return [rest](Connection& connection) {
    if (!connection.ReadRequest()) return;
    if (absl::StartsWith(connection.head(), "GET /version ")) {
      connection.Answer(kVersion);
      return;
    }
    rest(connection);
  };
}

TEST(DockerRuntimeTest, MissingSocketIsUnavailableAndSaysHowToFix) {
  TempDir dir;
  DockerRuntime docker(dir.File("docker.sock"));
  const absl::Status status = docker.GetEngineInfo(Soon()).status();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_EQ(ReasonOf(status), reason::kEngineUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr(dir.File("docker.sock")));
  EXPECT_THAT(std::string(status.message()), HasSubstr("systemctl start docker"));
}

TEST(DockerRuntimeTest, SocketThatNobodyListensAtIsUnavailable) {
  TempDir dir;
  { ScriptedUnixServer gone([](Connection&) {}, dir.File("docker.sock")); }
  DockerRuntime docker(dir.File("docker.sock"));
  EXPECT_EQ(ReasonOf(docker.Start("c", Soon())), reason::kEngineUnavailable);
}

TEST(DockerRuntimeTest, SpeaksTheVersionItNegotiated) {
  std::string head;
  ScriptedUnixServer server(Engine([&](Connection& connection) {
    head = connection.head();
    connection.Send("HTTP/1.1 204 No Content\r\n\r\n");
  }));
  DockerRuntime docker(server.path());
  EXPECT_TRUE(docker.Start("c", Soon()).ok());
  EXPECT_THAT(head, HasSubstr("POST /v1.41/containers/c/start HTTP/1.1\r\n"));
}

TEST(DockerRuntimeTest, NegotiatesAgainWhenTheEngineWasUpgraded) {
  bool upgraded = false;
  ScriptedUnixServer server([&](Connection& connection) {
    if (!connection.ReadRequest()) return;
    if (absl::StartsWith(connection.head(), "GET /version ")) {
      connection.Answer(upgraded ? R"({"ApiVersion":"1.60","MinAPIVersion":"1.44"})" : kVersion);
    } else if (upgraded && absl::StrContains(connection.head(), "/v1.41/")) {
      connection.Answer(R"({"message":"client version 1.41 is too old. Minimum supported API version is 1.44"})", "",
                        "400 Bad Request");
    } else {
      connection.Send("HTTP/1.1 204 No Content\r\n\r\n");
    }
  });
  DockerRuntime docker(server.path());
  EXPECT_TRUE(docker.Start("c", Soon()).ok());
  upgraded = true;
  EXPECT_TRUE(docker.Start("c", Soon()).ok());
}

TEST(DockerRuntimeTest, EngineThatNeverAnswersIsDeadlineExceeded) {
  ScriptedUnixServer server(Engine([](Connection& connection) { connection.AwaitClose(); }));
  DockerRuntime docker(server.path());
  const absl::Time before = absl::Now();
  EXPECT_TRUE(absl::IsDeadlineExceeded(docker.Start("c", before + absl::Milliseconds(100))));
  EXPECT_GE(absl::Now() - before, absl::Milliseconds(100));
  EXPECT_LT(absl::Now() - before, absl::Seconds(10));
}

TEST(DockerRuntimeTest, EngineThatGoesAwayIsUnavailableAndSaysThatItMayHaveHappened) {
  for (const char* words : {"", "HTTP/1.1 204 No", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"}) {
    ScriptedUnixServer server(Engine([words](Connection& connection) { connection.Send(words); }));
    DockerRuntime docker(server.path());
    const absl::Status status = docker.Start("c", Soon());
    EXPECT_EQ(ReasonOf(status), reason::kEngineUnavailable) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("may or may not have happened"));
  }
}

TEST(DockerRuntimeTest, WhatIsNotHttpIsInternal) {
  ScriptedUnixServer server(Engine([](Connection& connection) { connection.Send("220 smtp ready\r\n\r\n"); }));
  DockerRuntime docker(server.path());
  EXPECT_TRUE(absl::IsInternal(docker.Start("c", Soon())));
}

TEST(DockerRuntimeTest, NamesThatCouldLeadElsewhereAreNotSent) {
  ScriptedUnixServer server(Engine([](Connection& connection) { connection.Answer("{}"); }));
  DockerRuntime docker(server.path());
  for (const char* id : {"", "../x", "a/b", "a?force=1", "a b", "a\r\nX: y", ".", "a#"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(docker.Start(id, Soon()))) << id;
    EXPECT_TRUE(absl::IsInvalidArgument(docker.Remove(id, Soon()))) << id;
    EXPECT_TRUE(absl::IsInvalidArgument(docker.Inspect(id, Soon()).status())) << id;
  }
  for (const char* image : {"", "../x", "a/../b", "a?x", "a b", "a//b", "/a", "a/./b"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(docker.InspectImage(image, Soon()).status())) << image;
    EXPECT_TRUE(absl::IsInvalidArgument(docker.RemoveImage(image, Soon()))) << image;
    EXPECT_TRUE(absl::IsInvalidArgument(docker.TagImage("a", image, Soon()))) << image;
  }
  EXPECT_EQ(server.accepted(), 0);
}

TEST(DockerRuntimeTest, RemovalThatIsUnderWayIsAwaited) {
  int asked = 0;
  ScriptedUnixServer server(Engine([&](Connection& connection) {
    if (++asked < 3) {
      connection.Answer(R"({"message":"removal of container c is already in progress"})", "", "409 Conflict");
    } else {
      connection.Answer(R"({"message":"No such container: c"})", "", "404 Not Found");
    }
  }));
  DockerRuntime docker(server.path());
  EXPECT_TRUE(docker.Remove("c", Soon()).ok());
  EXPECT_EQ(asked, 3);
}

TEST(DockerRuntimeTest, LoadErrorInsideA200IsAnError) {
  ScriptedUnixServer server(Engine([](Connection& connection) {
    connection.Answer("{\"stream\":\"Loading\"}\r\n{\"errorDetail\":{\"message\":\"write /x: no space left on device\"}}");
  }));
  DockerRuntime docker(server.path());
  bool given = false;
  const absl::Status status = docker.ImportImage(
      [&]() -> absl::StatusOr<std::string> { return std::exchange(given, true) ? std::string() : std::string("tar"); },
      Soon());
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_EQ(ReasonOf(status), reason::kDiskFull);
}

TEST(DockerRuntimeTest, EngineThatRefusesAnUploadHalfWayIsHeard) {
  ScriptedUnixServer server([](Connection& connection) {
    // Not the whole request: the engine answers after the head and hangs up.
    if (connection.number() == 0) {
      connection.ReadRequest();
      connection.Answer(kVersion);
      return;
    }
    connection.Answer(R"({"message":"write /x: no space left on device"})", "", "500 Internal Server Error");
  });
  DockerRuntime docker(server.path());
  std::uint64_t given = 0;
  const absl::Status status = docker.ImportImage(
      [&]() -> absl::StatusOr<std::string> {
        given += 1 << 20;
        return std::string(1 << 20, 'x');
      },
      Soon());
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_LT(given, 64u << 20);
}

TEST(DockerRuntimeTest, UploadToAnEngineThatDoesNotReadIsDeadlineExceeded) {
  absl::Notification done;
  ScriptedUnixServer server([&](Connection& connection) {
    if (connection.number() == 0) {
      connection.ReadRequest();
      connection.Answer(kVersion);
      return;
    }
    done.WaitForNotification();
  });
  DockerRuntime docker(server.path());
  const absl::Status status = docker.ImportImage(
      []() -> absl::StatusOr<std::string> { return std::string(1 << 20, 'x'); }, absl::Now() + absl::Milliseconds(100));
  done.Notify();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
}

TEST(DockerRuntimeTest, SourceErrorLeavesTheBodyWithoutItsEnd) {
  std::string got;
  absl::Notification seen;
  ScriptedUnixServer server([&](Connection& connection) {
    if (connection.number() == 0) {
      connection.ReadRequest();
      connection.Answer(kVersion);
      return;
    }
    EXPECT_FALSE(connection.ReadRequest());
    seen.Notify();
  });
  DockerRuntime docker(server.path());
  bool given = false;
  const absl::Status status = docker.ImportImage(
      [&]() -> absl::StatusOr<std::string> {
        if (std::exchange(given, true)) return absl::DataLossError("broken");
        return std::string("half");
      },
      Soon());
  EXPECT_TRUE(absl::IsDataLoss(status));
  seen.WaitForNotification();
}

TEST(DockerRuntimeTest, ExportThatEndsInTheEnginesErrorIsAnError) {
  ScriptedUnixServer server(Engine([](Connection& connection) {
    connection.Answer(std::string(5000, 't') + "{\"errorDetail\":{\"message\":\"layer is gone\"},\"error\":\"layer is gone\"}\r\n");
  }));
  DockerRuntime docker(server.path());
  const absl::Status status =
      docker.ExportImage("a:1", [](absl::string_view) { return absl::OkStatus(); }, Soon());
  EXPECT_TRUE(absl::IsInternal(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("layer is gone"));
}

TEST(DockerRuntimeTest, ExportIsHandedOnInParts) {
  constexpr std::size_t kBytes = 10 << 20;
  ScriptedUnixServer server(Engine([](Connection& connection) { connection.Answer(std::string(kBytes, '\0')); }));
  DockerRuntime docker(server.path());
  std::size_t got = 0, largest = 0;
  const absl::Status status = docker.ExportImage(
      "a:1",
      [&](absl::string_view part) {
        got += part.size();
        largest = std::max(largest, part.size());
        return absl::OkStatus();
      },
      Soon());
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(got, kBytes);
  EXPECT_LE(largest, 256u << 10);
}

TEST(DockerRuntimeTest, PullTellsARefusalFromARegistryThatIsAway) {
  struct Case {
    const char* status;
    const char* body;
    absl::StatusCode code;
  };
  const Case cases[] = {
      {"404 Not Found", R"({"message":"pull access denied for x"})", absl::StatusCode::kNotFound},
      {"200 OK", "{\"status\":\"Pulling\"}\r\n{\"errorDetail\":{\"message\":\"manifest unknown\"},\"error\":\"manifest unknown\"}",
       absl::StatusCode::kNotFound},
      {"500 Internal Server Error", R"({"message":"Get \"https://r/v2/\": dial tcp: lookup r: no such host"})",
       absl::StatusCode::kUnavailable},
  };
  for (const Case& each : cases) {
    ScriptedUnixServer server(Engine([&](Connection& connection) { connection.Answer(each.body, "", each.status); }));
    DockerRuntime docker(server.path());
    const absl::Status status = docker.PullImage("r/x:1", Soon());
    EXPECT_EQ(status.code(), each.code) << status;
    EXPECT_EQ(ReasonOf(status), reason::kImageUnavailable);
  }
}

TEST(DockerRuntimeTest, PullAsksForLatestOrForWhatWasNamed) {
  std::vector<std::string> asked;
  ScriptedUnixServer server(Engine([&](Connection& connection) {
    asked.push_back(std::vector<std::string>(absl::StrSplit(connection.head(), ' ')).at(1));
    connection.Answer("{}");
  }));
  DockerRuntime docker(server.path());
  EXPECT_TRUE(docker.PullImage("host:5000/a/b", Soon()).ok());
  EXPECT_TRUE(docker.PullImage("b:2", Soon()).ok());
  EXPECT_TRUE(docker.PullImage("b@sha256:ab", Soon()).ok());
  EXPECT_EQ(asked, (std::vector<std::string>{"/v1.41/images/create?fromImage=host%3A5000%2Fa%2Fb&tag=latest",
                                             "/v1.41/images/create?fromImage=b&tag=2",
                                             "/v1.41/images/create?fromImage=b&tag=sha256%3Aab"}));
}

}  // namespace
}  // namespace thaw::agent
