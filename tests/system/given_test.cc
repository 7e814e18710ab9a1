// Restore-time config and secrets through a whole cluster: what the function sees, and that no place keeps what it must
// not keep.
#include <grpcpp/client_context.h>
#include <zstd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/status.h"
#include "tests/system/suite.h"

namespace thaw::testing {
namespace {

namespace fs = std::filesystem;
namespace gw = thaw::gateway::v1;
namespace pb = thaw::common::v1;
using Json = nlohmann::json;

constexpr char kEarly[] = "early-value-0123456789-held-by-the-function";
constexpr char kLate[] = "late-value-0123456789-for-after-the-restore";
constexpr char kChanged[] = "changed-value-0123456789-of-the-late-secret";

std::string Unpacked(const std::string& frame) {
  const auto size = ZSTD_getFrameContentSize(frame.data(), frame.size());
  if (size == ZSTD_CONTENTSIZE_ERROR) return "";
  std::string raw(size == ZSTD_CONTENTSIZE_UNKNOWN ? 16u << 20 : size, '\0');
  const std::size_t got = ZSTD_decompress(raw.data(), raw.size(), frame.data(), frame.size());
  EXPECT_FALSE(ZSTD_isError(got)) << ZSTD_getErrorName(got);
  raw.resize(ZSTD_isError(got) ? 0 : got);
  return raw;
}

// Files below `dir` that have `text`; in those that are zstd frames, in their content.
std::vector<std::string> FilesWith(const std::string& dir, const std::string& text, bool frames = false) {
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(dir, error)) {
    if (!entry.is_regular_file(error)) continue;
    const std::string content = ReadFileOrEmpty(entry.path());
    if (absl::StrContains(frames ? Unpacked(content) : content, text)) found.push_back(entry.path());
  }
  return found;
}

class GivenTest : public ClusterTest {
 protected:
  Cluster::Options ClusterOptions() override {
    Cluster::Options options;
    options.nodes = {"a", "b"};
    return options;
  }

  absl::Status SetSecret(const std::string& function_id, const std::string& name, const std::string& value) {
    const auto function = cluster().GetFunction(function_id);
    if (!function.ok()) return function.status();
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(20)));
    pb::SetSecretRequest request;
    request.set_app_id(function->app_id());
    request.set_name(name);
    request.set_value(value);
    pb::Secret secret;
    return FromGrpcStatus(cluster().admin().SetSecret(&context, request, &secret));
  }
  void Configure(const std::string& function_id, const std::string& url) {
    pb::Function change;
    change.set_id(function_id);
    (*change.mutable_config())["URL"] = url;
    ASSERT_TRUE(cluster().UpdateFunction(change).ok());
  }
  // The function's own account.
  Json Show(const std::string& function_id, const std::string& node, Answer* answer = nullptr) {
    const Answer got = cluster().Invoke(function_id, "URL", node);
    EXPECT_TRUE(got.ok()) << got.status;
    if (answer != nullptr) *answer = got;
    return Json::parse(got.body, nullptr, false);
  }
};

TEST_F(GivenTest, AFunctionSeesWhatHoldsNowAndNoSnapshotHasItsLateSecret) {
  const auto image = JavaTestImage("given", "io.thaw.testfn.Given::show");
  ASSERT_TRUE(image.ok()) << image.status();
  TestFunction function;
  function.image = *image;
  function.config = {{"URL", "one"}};
  const std::string id = Create(function);
  pb::Function change;
  change.set_id(id);
  change.mutable_freeze()->add_restore_time_config("URL");
  change.mutable_freeze()->add_secrets()->set_name("early");
  auto& late = *change.mutable_freeze()->add_secrets();
  late.set_name("late");
  late.set_after_restore_only(true);
  const auto updated = cluster().UpdateFunction(change);
  ASSERT_TRUE(updated.ok()) << updated.status();
  const std::string version = updated->version_id();

  EXPECT_TRUE(Is(cluster().Invoke(id, "URL", "a").status, absl::StatusCode::kFailedPrecondition, reason::kSecretMissing));
  ASSERT_TRUE(SetSecret(id, "early", kEarly).ok());
  ASSERT_TRUE(SetSecret(id, "late", kLate).ok());
  Answer first;
  ASSERT_TRUE(Eventually([&] { return (first = cluster().Invoke(id, "URL", "a")).ok(); })) << first.status;
  EXPECT_TRUE(StartedAs(first, gw::START_KIND_COLD));
  EXPECT_EQ(Json::parse(first.body), Json({{"context", "one"}, {"environment", "one"}, {"getenv", "one"},
                                           {"secrets", {{"early", kEarly}}}}));

  const auto snapshot = cluster().MakeSnapshot(id, "a", "URL");
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  const std::string laid_out = Cracdata("a", id) + "/" + snapshot->id();
  EXPECT_TRUE(FilesWith(laid_out, kLate).empty());
  EXPECT_TRUE(FilesWith(Store("a") + "/chunks", kLate, true).empty());
  // The search can find: this one the function held.
  EXPECT_FALSE(FilesWith(laid_out, kEarly).empty());
  EXPECT_FALSE(FilesWith(Store("a") + "/chunks", kEarly, true).empty());
  // The one that was frozen goes on, and has it now.
  EXPECT_TRUE(Eventually([&] { return Show(id, "a")["secrets"].value("late", "") == kLate; }));

  // What changes now makes no new version, and reaches the one that runs,
  Configure(id, "two");
  ASSERT_TRUE(SetSecret(id, "late", kChanged).ok());
  EXPECT_EQ(VersionOf(id), version);
  const Json now = {{"context", "two"}, {"environment", "two"}, {"getenv", "one"},
                    {"secrets", {{"early", kEarly}, {"late", kChanged}}}};
  Json seen;
  EXPECT_TRUE(Eventually([&] { return (seen = Show(id, "a")) == now; })) << seen;
  // … and the one that is restored elsewhere.
  Answer restored;
  EXPECT_EQ(Show(id, "b", &restored), now);
  EXPECT_TRUE(StartedAs(restored, gw::START_KIND_RESTORED_REMOTE));

  // Values are in the snapshot where the function put them, and else nowhere: not in the scheduler's store, the agents'
  // files beside it, nor in any log.
  for (const std::string value : {kEarly, kLate, kChanged}) {
    for (const auto& entry : fs::recursive_directory_iterator(cluster().dir())) {
      const std::string path = entry.path();
      if (!entry.is_regular_file() || absl::StrContains(path, "/cracdata/") || absl::StrContains(path, "/chunks/")) continue;
      EXPECT_FALSE(absl::StrContains(ReadFileOrEmpty(path), value)) << path;
    }
  }
}

}  // namespace
}  // namespace thaw::testing
