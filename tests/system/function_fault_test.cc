// What bad input and bad functions get: the right code, status and reason, and an error that names the thing and the next
// step. The next call works.
#include "tests/system/suite.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace thaw::testing {
namespace {

using absl::StatusCode;
namespace gw = thaw::gateway::v1;

class FunctionFaultTest : public ClusterTest {
 protected:
  Cluster::Options ClusterOptions() override {
    Cluster::Options options;
    options.nodes = {"a"};
    options.gateway_flags = {"--max-body-bytes=6291456"};
    options.agent_flags = {"--listen-limit=3s"};
    return options;
  }
  double Outcomes(const std::string& outcome) {
    return cluster().AgentMetric("a", "thaw_agent_invocations_total", {"outcome=\"" + outcome + "\""});
  }
};

TEST_F(FunctionFaultTest, UnknownFunction_IsNotFound_AndHttp404) {
  const Answer answer = cluster().Invoke("01ARZ3NDEKTSV4RRFFQ69G5FAV");
  EXPECT_TRUE(Is(answer.status, StatusCode::kNotFound, reason::kFunctionNotFound));
  EXPECT_TRUE(absl::StrContains(answer.status.message(), "01ARZ3NDEKTSV4RRFFQ69G5FAV")) << answer.status;
  const HttpAnswer http = Post("/invoke/01ARZ3NDEKTSV4RRFFQ69G5FAV");
  EXPECT_EQ(http.status, 404) << http.body;
  EXPECT_TRUE(absl::StrContains(http.body, "\"message\"")) << http.body;
}

TEST_F(FunctionFaultTest, BodyTooLarge_IsResourceExhausted_AndHttp413) {
  const std::string id = CreateNative();
  const Answer answer = cluster().Invoke(id, std::string((4u << 20) + 1, 'x'));
  EXPECT_TRUE(Is(answer.status, StatusCode::kResourceExhausted, reason::kBodyTooLarge));
  EXPECT_TRUE(absl::StrContains(answer.status.message(), "InvokeStream")) << answer.status;
  EXPECT_EQ(Post("/invoke/" + id, std::string((6u << 20) + 1, 'x')).status, 413);
  EXPECT_TRUE(cluster().Invoke(id).ok());
}

TEST_F(FunctionFaultTest, HeadersTooLarge_IsResourceExhausted_AndHttp431) {
  const std::string id = CreateNative();
  grpc::ClientContext context;
  gw::InvokeRequest request;
  request.mutable_function()->set_id(id);
  auto& header = *request.add_headers();
  header.set_name("X-Large");
  header.set_value(std::string(70000, 'x'));
  gw::InvokeResponse response;
  const grpc::Status status = cluster().invoker().Invoke(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  EXPECT_TRUE(absl::StrContains(status.error_details(), reason::kHeadersTooLarge));
  EXPECT_EQ(Post("/invoke/" + id, "", "X-Large: " + std::string(70000, 'x') + "\r\n").status, 431);
}

TEST_F(FunctionFaultTest, FunctionThatExits_IsNamedWithItsCode_AndReplaced) {
  const std::string id = CreateNative();
  const Answer before = cluster().Invoke(id);
  const Answer answer = cluster().Invoke(id, "exit 7");
  EXPECT_TRUE(Is(answer.status, StatusCode::kInternal, reason::kFunctionExited));
  EXPECT_TRUE(absl::StrContains(answer.status.message(), "code 7")) << answer.status;
  EXPECT_TRUE(WasSent(answer.status));
  EXPECT_EQ(Post("/invoke/" + id, "exit 7").status, 502);
  const Answer after = cluster().Invoke(id);
  EXPECT_TRUE(after.ok()) << after.status;
  EXPECT_NE(after.start.instance_id(), before.start.instance_id());
  EXPECT_EQ(Count(FunctionLogs("a"), "executed exit 7"), 2) << "a broken call is not sent again";
}

TEST_F(FunctionFaultTest, FunctionThatHangs_TimesOut_AndIsReplaced) {
  TestFunction function;
  function.image = NativeImage();
  function.memory_mib = 64;
  function.timeout = absl::Seconds(1);
  const std::string id = Create(function);
  const Answer before = cluster().Invoke(id);
  const double timed_out = Outcomes("timed_out");
  const Answer answer = cluster().Invoke(id, "hang");
  EXPECT_TRUE(Is(answer.status, StatusCode::kDeadlineExceeded, reason::kFunctionTimeout));
  // Who it was, how long it had, and where to look.
  for (const char* said : {"function FunctionThat", "1s", "thaw logs"}) {
    EXPECT_TRUE(absl::StrContains(answer.status.message(), said)) << said << ": " << answer.status;
  }
  EXPECT_EQ(Outcomes("timed_out"), timed_out + 1);
  EXPECT_EQ(Post("/invoke/" + id, "hang").status, 504);
  const Answer after = cluster().Invoke(id);
  EXPECT_TRUE(after.ok()) << after.status;
  EXPECT_NE(after.start.instance_id(), before.start.instance_id());
  EXPECT_EQ(Count(FunctionLogs("a"), "executed hang"), 2);
}

TEST_F(FunctionFaultTest, FunctionThatPrintsMegabytes_Answers_AndItsLogStaysBounded) {
  const std::string id = CreateNative();
  const Answer answer = cluster().Invoke(id, "print 8");
  EXPECT_TRUE(answer.ok()) << answer.status;
  EXPECT_EQ(answer.body, "printed");
  // The log is full, so the fault fired, and no more than two files of 1 MiB are kept.
  for (const std::string& slot : Names(cluster().data_dir("a") + "/slots")) {
    const std::string ctl = absl::StrCat(cluster().data_dir("a"), "/slots/", slot, "/ctl/function.log");
    const std::string old = ReadFileOrEmpty(ctl + ".1");
    if (old.empty()) continue;
    EXPECT_GT(old.size(), 900u << 10);
    EXPECT_LT(old.size() + ReadFileOrEmpty(ctl).size(), (2u << 20) + (64u << 10));
  }
  EXPECT_GT(FunctionLogs("a").size(), 1u << 20);
  EXPECT_TRUE(StartedAs(cluster().Invoke(id), gw::START_KIND_WARM));
}

TEST_F(FunctionFaultTest, FunctionThatAnswersGarbage_IsABadAnswer_AndReplaced) {
  const std::string id = CreateNative();
  const double broken = Outcomes("broken");
  const Answer answer = cluster().Invoke(id, "garbage");
  EXPECT_TRUE(Is(answer.status, StatusCode::kInternal, reason::kFunctionBadAnswer));
  for (const char* said : {"function FunctionThat", "not HTTP", "thaw logs"}) {
    EXPECT_TRUE(absl::StrContains(answer.status.message(), said)) << said << ": " << answer.status;
  }
  EXPECT_EQ(Post("/invoke/" + id, "garbage").status, 502);
  const Answer status = cluster().Invoke(id, "status 418");
  EXPECT_TRUE(Is(status.status, StatusCode::kInternal, reason::kFunctionBadAnswer));
  EXPECT_TRUE(absl::StrContains(status.status.message(), "418")) << status.status;
  EXPECT_EQ(Outcomes("broken"), broken + 3);
  EXPECT_TRUE(StartedAs(cluster().Invoke(id), gw::START_KIND_COLD));
}

TEST_F(FunctionFaultTest, FunctionThatNeverOpensItsSocket_IsNamed_AndLeavesNothingBehind) {
  const std::string id = CreateNative("never-listens");
  const Answer answer = cluster().Invoke(id);
  EXPECT_EQ(ReasonOf(answer.status), reason::kFunctionNeverListened) << answer.status;
  EXPECT_TRUE(absl::StrContains(answer.status.message(), "FDK")) << answer.status;
  EXPECT_EQ(Post("/invoke/" + id).status, 504);
  EXPECT_GE(Count(cluster().Log("a"), "event=start_failed"), 2);
  ExpectNoOrphans("a");
}

TEST_F(FunctionFaultTest, FunctionThatExitsBeforeItListens_IsNamed_AndLeavesNothingBehind) {
  const std::string id = CreateNative("exits-at-start");
  const Answer answer = cluster().Invoke(id);
  EXPECT_TRUE(Is(answer.status, StatusCode::kInternal, reason::kFunctionExited));
  EXPECT_TRUE(absl::StrContains(answer.status.message(), "log")) << answer.status;
  ExpectNoOrphans("a");
}

TEST_F(FunctionFaultTest, FunctionThatEatsItsMemory_IsOutOfMemory_AndReplaced) {
  const std::string id = CreateNative();
  EXPECT_TRUE(cluster().Invoke(id, "eat 8").ok());
  const Answer answer = cluster().Invoke(id, "eat 400");
  EXPECT_TRUE(Is(answer.status, StatusCode::kInternal, reason::kFunctionOutOfMemory));
  EXPECT_TRUE(absl::StrContains(answer.status.message(), "64 MiB")) << answer.status;
  const Answer after = cluster().Invoke(id);
  EXPECT_TRUE(after.ok()) << after.status;
}

TEST_F(FunctionFaultTest, ImageThatCannotBeHad_IsNamed_AndTheCallIsSafeToRepeat) {
  TestFunction function;
  function.image = NativeImage();
  const std::string id = Create(function);
  auto spec = cluster().GetFunction(id);
  ASSERT_TRUE(spec.ok());
  spec->set_image("thaw-test/nowhere:latest");
  spec->set_image_id("sha256:" + std::string(64, 'd'));
  ASSERT_TRUE(cluster().UpdateFunction(*spec).ok());
  const Answer answer = cluster().Invoke(id);
  EXPECT_EQ(ReasonOf(answer.status), reason::kImageUnavailable) << answer.status;
  EXPECT_TRUE(absl::StrContains(answer.status.message(), "nowhere")) << answer.status;
  EXPECT_FALSE(WasSent(answer.status));
  ExpectNoOrphans("a");
}

}  // namespace
}  // namespace thaw::testing
