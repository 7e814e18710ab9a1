// The program itself: flags, port file, kill -9 and SIGTERM.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/scheduler/support/scheduler_client.h"

namespace thaw::scheduler {
namespace {

using testing::SchedulerClient;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Slurp(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

class ProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/thaw-scheduler-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    directory_ = path;
    std::ofstream(directory_ + "/token") << testing::kTestToken << "\n";
  }
  void TearDown() override {
    if (process_ > 0) End(SIGKILL);
    std::filesystem::remove_all(directory_);
  }

  // Starts the program with its output in `log`.
  void Spawn(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), THAW_SCHEDULER_PROGRAM);
    process_ = fork();
    ASSERT_GE(process_, 0);
    if (process_ == 0) {
      freopen((directory_ + "/log").c_str(), "w", stderr);
      freopen((directory_ + "/out").c_str(), "w", stdout);
      std::vector<char*> argv;
      for (auto& argument : arguments) argv.push_back(argument.data());
      argv.push_back(nullptr);
      execv(argv[0], argv.data());
      _exit(127);
    }
  }
  // Starts a scheduler and waits until it is ready.
  void Start() {
    std::filesystem::remove(directory_ + "/ports");
    Spawn({"--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--data-dir", directory_ + "/data",
           "--cluster-token-file", directory_ + "/token", "--port-file", directory_ + "/ports"});
    for (const absl::Time end = absl::Now() + absl::Seconds(30);
         !std::filesystem::exists(directory_ + "/ports") && absl::Now() < end;) {
      absl::SleepFor(absl::Milliseconds(10));
    }
    ASSERT_EQ(sscanf(Slurp(directory_ + "/ports").c_str(), "grpc=%d\nmetrics=%d", &port_, &metrics_port_), 2)
        << Slurp(directory_ + "/log");
    client_ = std::make_unique<SchedulerClient>(port_);
  }
  // Ends it and returns what wait() said.
  int End(int signal) {
    client_.reset();
    if (signal != 0) kill(process_, signal);
    int status = 0;
    waitpid(process_, &status, 0);
    process_ = 0;
    return status;
  }
  std::string Metrics() {
    const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(metrics_port_));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    std::string answer;
    if (connect(descriptor, reinterpret_cast<struct sockaddr*>(&address), sizeof address) == 0) {
      const std::string request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
      if (write(descriptor, request.data(), request.size()) == static_cast<ssize_t>(request.size())) {
        char buffer[4096];
        for (ssize_t got; (got = read(descriptor, buffer, sizeof buffer)) > 0;) {
          answer.append(buffer, static_cast<std::size_t>(got));
        }
      }
    }
    close(descriptor);
    return answer;
  }

  std::string directory_;
  pid_t process_ = 0;
  int port_ = 0, metrics_port_ = 0;
  std::unique_ptr<SchedulerClient> client_;
};

TEST_F(ProcessTest, WhatWasAnsweredSurvivesAKill) {
  Start();
  const auto app = client_->CreateApp("app");
  ASSERT_TRUE(app.ok()) << app.status();
  std::vector<common::v1::Function> functions;
  for (int i = 0; i < 20; ++i) {
    functions.push_back(client_->CreateFunction(app->id(), absl::StrCat("fn", i)).value_or(common::v1::Function()));
  }
  ASSERT_TRUE(WIFSIGNALED(End(SIGKILL)));
  Start();
  for (const auto& function : functions) {
    common::v1::GetFunctionRequest get;
    get.set_id(function.id());
    const auto found = client_->Call(&v1::Catalogue::Stub::GetFunction, get);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->version_id(), function.version_id());
  }
}

TEST_F(ProcessTest, LeasesHoldOverAKill) {
  Start();
  const auto app = client_->CreateApp("app");
  ASSERT_TRUE(client_->CreateFunction(app->id(), "fn").ok());
  auto node = std::make_unique<testing::NodeClient>(*client_);
  ASSERT_TRUE(node->Register(testing::TestScheduler::Registration("a")));
  ASSERT_TRUE(node->Read().has_welcome());
  const auto lease = client_->Acquire("app/fn");
  ASSERT_TRUE(lease.ok()) << lease.status();
  node.reset();
  ASSERT_TRUE(WIFSIGNALED(End(SIGKILL)));
  Start();
  EXPECT_THAT(client_->Renew(lease->lease_id())->lease_ids(), ElementsAre(lease->lease_id()));
}

TEST_F(ProcessTest, ATermEndsItCleanly) {
  Start();
  ASSERT_TRUE(client_->CreateApp("app").ok());
  EXPECT_THAT(Metrics(), HasSubstr("\nthaw_scheduler_apps 1"));
  testing::NodeClient node(*client_);
  ASSERT_TRUE(node.Register(testing::TestScheduler::Registration("a")));
  ASSERT_TRUE(node.Read().has_welcome());
  EXPECT_THAT(Metrics(), HasSubstr("thaw_scheduler_nodes{state=\"ready\"} 1"));
  EXPECT_EQ(End(SIGTERM), 0) << Slurp(directory_ + "/log");
  const std::string log = Slurp(directory_ + "/log");
  EXPECT_THAT(log, HasSubstr(absl::StrCat("ready listen=127.0.0.1:0 port=", port_)));
  EXPECT_THAT(log, HasSubstr("event=stopped"));
  // The log was folded in: nothing is left beside the file but its lock.
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/data/thaw.db-wal"));
}

TEST_F(ProcessTest, BadOptionsAndABusyStoreAreTwoExitCodes) {
  Spawn({"--data-dir", directory_ + "/data", "--cluster-token-file", directory_ + "/none"});
  EXPECT_EQ(WEXITSTATUS(End(0)), 2);
  EXPECT_THAT(Slurp(directory_ + "/log"), HasSubstr(directory_ + "/none"));
  Start();
  const pid_t first = process_;
  Spawn({"--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--data-dir", directory_ + "/data",
         "--cluster-token-file", directory_ + "/token"});
  EXPECT_EQ(WEXITSTATUS(End(0)), 1);
  EXPECT_THAT(Slurp(directory_ + "/log"), HasSubstr("in use by another scheduler"));
  process_ = first;
}

TEST_F(ProcessTest, TheVersionIsPrinted) {
  Spawn({"--version"});
  EXPECT_EQ(WEXITSTATUS(End(0)), 0);
  EXPECT_THAT(Slurp(directory_ + "/out"), ::testing::StartsWith("thaw-scheduler 0."));
}

}  // namespace
}  // namespace thaw::scheduler
