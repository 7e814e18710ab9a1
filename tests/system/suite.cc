#include "tests/system/suite.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace thaw::testing {
namespace {

namespace fs = std::filesystem;

constexpr char kBaseImage[] = "thaw/java-runtime-base:latest";
constexpr std::size_t kLastLines = 40;

std::string LastLines(const std::string& text) {
  const std::vector<std::string> lines = absl::StrSplit(text, '\n', absl::SkipEmpty());
  const std::size_t from = lines.size() > kLastLines ? lines.size() - kLastLines : 0;
  return absl::StrJoin(lines.begin() + static_cast<std::ptrdiff_t>(from), lines.end(), "\n");
}

absl::StatusOr<std::string> BuildNativeImage(const std::string& mode) {
  const std::string tag = absl::StrCat("thaw-test/native-", mode, ":latest");
  char pattern[] = "/tmp/ti-XXXXXX";
  const std::string dir = mkdtemp(pattern);
  fs::copy_file(THAW_NATIVE_FUNCTION, dir + "/native");
  std::ofstream(dir + "/Dockerfile") << "FROM " << kBaseImage << "\nCOPY native /function/native\n"
                                     << "ENTRYPOINT [\"/function/native\"]\nCMD [\"" << mode << "\"]\n";
  const CommandResult built =
      RunCommand({"docker", "build", "-q", "-t", tag, dir}, absl::Minutes(3), {{"DOCKER_BUILDKIT", "0"}});
  std::error_code ignored;
  fs::remove_all(dir, ignored);
  if (built.exit_code == 0) return tag;
  return absl::InternalError(absl::StrCat("image ", tag, " can't be built: ", built.err, built.out));
}

}  // namespace

std::unique_ptr<Cluster> ClusterTest::cluster_;

void ClusterTest::SetUp() {
  if (cluster_ != nullptr) return;
  THAW_NEED_HOST();
  auto cluster = Cluster::Start(ClusterOptions());
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  cluster_ = *std::move(cluster);
}

void ClusterTest::TearDown() {
  if (!HasFailure() || cluster_ == nullptr) return;
  for (const std::string& name : Names(cluster_->dir())) {
    if (!absl::EndsWith(name, ".log")) continue;
    std::cerr << "--- " << name << "\n" << LastLines(ReadFileOrEmpty(cluster_->dir() + "/" + name)) << "\n";
  }
}

std::string ClusterTest::NativeImage(const std::string& mode) {
  const absl::StatusOr<std::string> image = BuildNativeImage(mode);
  if (!image.ok()) ADD_FAILURE() << image.status();
  return image.value_or("");
}

std::string ClusterTest::Create(const TestFunction& function, const std::string& suffix) {
  std::string name = absl::StrCat(::testing::UnitTest::GetInstance()->current_test_info()->name(), suffix);
  const absl::StatusOr<std::string> id = cluster().CreateFunction(name, function);
  if (!id.ok()) ADD_FAILURE() << "function " << name << ": " << id.status();
  return id.value_or("");
}

std::string ClusterTest::CreateNative(const std::string& mode) {
  TestFunction function;
  function.image = NativeImage(mode);
  function.memory_mib = 64;
  return Create(function);
}

std::string ClusterTest::VersionOf(const std::string& function_id) {
  const auto function = cluster().GetFunction(function_id);
  if (!function.ok()) ADD_FAILURE() << function.status();
  return function.ok() ? function->version_id() : "";
}

std::string ClusterTest::Freeze(const std::string& function_id, const std::string& node) {
  const auto snapshot = cluster().MakeSnapshot(function_id, node);
  if (!snapshot.ok()) ADD_FAILURE() << snapshot.status();
  return snapshot.ok() ? snapshot->id() : "";
}

void ClusterTest::EndInstance(const std::string& function_id, const std::string& node) {
  const Answer answer = cluster().Invoke(function_id, "exit 0", node);
  EXPECT_EQ(ReasonOf(answer.status), reason::kFunctionExited) << answer.status;
}

std::string ClusterTest::Cracdata(const std::string& node, const std::string& function_id) {
  return absl::StrCat(cluster().data_dir(node), "/versions/", VersionOf(function_id), "/cracdata");
}

std::vector<std::string> ClusterTest::Names(const std::string& dir) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(dir, error)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> ClusterTest::HalfDumps(const std::string& node, const std::string& function_id) {
  std::vector<std::string> half;
  for (const std::string& name : Names(Cracdata(node, function_id))) {
    if (absl::StartsWith(name, "dump-") || absl::StrContains(name, ".tmp-")) half.push_back(name);
  }
  return half;
}

std::string ClusterTest::FunctionLogs(const std::string& node) {
  std::string logs;
  const std::string slots = cluster().data_dir(node) + "/slots";
  for (const std::string& slot : Names(slots)) {
    for (const char* file : {"/ctl/function.log.1", "/ctl/function.log"}) {
      absl::StrAppend(&logs, ReadFileOrEmpty(absl::StrCat(slots, "/", slot, file)));
    }
  }
  return logs;
}

int ClusterTest::Count(const std::string& text, absl::string_view word) {
  int count = 0;
  for (std::size_t at = text.find(word.data(), 0, word.size()); at != std::string::npos;
       at = text.find(word.data(), at + word.size(), word.size())) {
    ++count;
  }
  return count;
}

void ClusterTest::FlipByte(const std::string& path) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  ASSERT_TRUE(file.good()) << path;
  file.seekg(0, std::ios::end);
  const std::streamoff middle = file.tellg() / 2;
  file.seekg(middle);
  const int byte = file.get();
  file.seekp(middle);
  file.put(static_cast<char>(byte ^ 0x40));
  file.flush();
  ASSERT_TRUE(file.good()) << path;
}

void ClusterTest::SetCriuFault(const std::string& node, const std::string& function_id, const std::string& fault) {
  const std::string dir = Cracdata(node, function_id);
  // A slot's making makes it; a fault that was set too early would go nowhere.
  ASSERT_TRUE(Eventually([&] { return fs::exists(dir); })) << dir;
  std::error_code ignored;
  fs::remove(dir + "/criu-fault", ignored);
  if (fault.empty()) return;
  std::ofstream(dir + "/criu-fault.new") << fault << "\n";
  fs::rename(dir + "/criu-fault.new", dir + "/criu-fault");
}

int ClusterTest::CriuFaultsFired(const std::string& node, const std::string& function_id) {
  return Count(ReadFileOrEmpty(Cracdata(node, function_id) + "/criu-fault.fired"), "\n");
}

bool ClusterTest::AwaitCriuFault(const std::string& node, const std::string& function_id, int times) {
  return Eventually([&] { return CriuFaultsFired(node, function_id) >= times; }, absl::Seconds(30));
}

void ClusterTest::ExpectNoOrphans(const std::string& node) {
  const auto counted = [&] {
    return static_cast<std::size_t>(cluster().AgentMetric(node, "thaw_agent_slots"));
  };
  EXPECT_TRUE(Eventually([&] { return cluster().Containers(node).size() == counted(); }, absl::Seconds(30)))
      << "node " << node << " counts " << counted() << " slots, and has the containers\n"
      << RunCommand({"docker", "ps", "-a", "--filter", "label=thaw.node=" + cluster().NodeId(node), "--format",
                     "{{.ID}} {{.Status}} {{.Image}} {{.Label \"thaw.role\"}} slot {{.Label \"thaw.slot\"}} version "
                     "{{.Label \"thaw.version\"}}"})
             .out
      << "its instances by its own account:\n"
      << cluster().AgentMetrics(node);
  EXPECT_TRUE(Eventually([&] { return Names(cluster().data_dir(node) + "/slots").size() == counted(); }))
      << "node " << node << " has directories of slots that are gone";
}

void ClusterTest::ExpectNothingHalf(const std::string& node, const std::string& function_id) {
  EXPECT_TRUE(Eventually([&] { return HalfDumps(node, function_id).empty(); }))
      << absl::StrJoin(HalfDumps(node, function_id), " ");
  EXPECT_TRUE(Eventually([&] { return Names(Store(node) + "/staging").empty(); }))
      << absl::StrJoin(Names(Store(node) + "/staging"), " ");
}

ClusterTest::HttpAnswer ClusterTest::Post(const std::string& path, const std::string& body, const std::string& headers) {
  HttpAnswer answer;
  const std::string address = cluster().http_address();
  int port = 0;
  (void)absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port);
  const std::string text = ExchangeText(
      port, absl::StrCat("POST ", path, " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", headers,
                         "Content-Length: ", body.size(), "\r\n\r\n", body),
      60);
  const auto end = text.find("\r\n\r\n");
  if (end == std::string::npos || text.size() < 12) return answer;
  answer.head = text.substr(0, end);
  answer.body = text.substr(end + 4);
  (void)absl::SimpleAtoi(text.substr(9, 3), &answer.status);
  return answer;
}

::testing::AssertionResult Is(const absl::Status& status, absl::StatusCode code, absl::string_view reason) {
  if (status.code() == code && ReasonOf(status) == reason) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << status << " with reason " << ReasonOf(status) << ", not "
                                       << absl::StatusCodeToString(code) << " with reason " << reason;
}

::testing::AssertionResult StartedAs(const Answer& answer, thaw::gateway::v1::StartKind kind) {
  if (!answer.ok()) return ::testing::AssertionFailure() << answer.status;
  if (answer.start.kind() == kind) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << thaw::gateway::v1::StartKind_Name(answer.start.kind()) << " on "
                                       << answer.start.node_id() << " (" << answer.start.fallback_reason() << "), not "
                                       << thaw::gateway::v1::StartKind_Name(kind);
}

}  // namespace thaw::testing
