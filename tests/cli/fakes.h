#ifndef THAW_TESTS_CLI_FAKES_H_
#define THAW_TESTS_CLI_FAKES_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "cli/commands/context.h"
#include "cli/gateway/client.h"
#include "cli/interrupt.h"
#include "cli/metrics/scraper.h"
#include "cli/process/runner.h"
#include "tests/fakes/fake_clock.h"

namespace thaw::cli::testing {

// Sleeping moves the clock on. Interrupts when told to.
class FakeInterrupt final : public Interrupt {
 public:
  explicit FakeInterrupt(thaw::testing::FakeClock& clock) : clock_(clock) {}
  bool requested() const override { return interrupted && !cleaning_up; }
  bool Sleep(absl::Duration duration) override {
    clock_.Advance(duration);
    return !requested();
  }
  void BeginCleanup() override { cleaning_up = true; }

  bool interrupted = false;
  bool cleaning_up = false;

 private:
  thaw::testing::FakeClock& clock_;
};

// A cluster in memory: apps, functions, nodes, snapshots and images, with the gateway's answers for what is
// not there.
class FakeGatewayClient : public GatewayClient {
 public:
  absl::StatusOr<gatewaypb::InvokeResponse> Invoke(const gatewaypb::InvokeRequest& request,
                                                   const InvokeOptions& options) override;
  absl::Status InvokeStream(const gatewaypb::InvokeRequest& start, const InvokeOptions& options,
                            absl::FunctionRef<absl::Status(ChunkSink)> produce,
                            absl::FunctionRef<void(const gatewaypb::InvokeResponse&)> on_start,
                            ChunkSink on_chunk) override;
  absl::StatusOr<commonpb::App> CreateApp(const commonpb::App& app) override;
  absl::StatusOr<commonpb::App> GetApp(const commonpb::GetAppRequest& request) override;
  absl::StatusOr<std::vector<commonpb::App>> ListApps() override;
  absl::StatusOr<commonpb::App> UpdateApp(const commonpb::App& app) override;
  absl::Status DeleteApp(const std::string& id) override;
  absl::StatusOr<commonpb::Function> CreateFunction(const commonpb::Function& function) override;
  absl::StatusOr<commonpb::Function> GetFunction(const commonpb::GetFunctionRequest& request) override;
  absl::StatusOr<std::vector<commonpb::Function>> ListFunctions(const std::string& app_name) override;
  absl::StatusOr<commonpb::Function> UpdateFunction(const commonpb::Function& function) override;
  absl::Status DeleteFunction(const std::string& id) override;
  absl::StatusOr<std::vector<commonpb::Node>> ListNodes() override { return nodes; }
  absl::StatusOr<std::vector<commonpb::SnapshotInfo>> ListSnapshots(const std::string& function_id) override;
  absl::StatusOr<commonpb::SnapshotInfo> GetSnapshot(const std::string& id) override;
  absl::Status DeleteSnapshot(const std::string& id) override;
  absl::StatusOr<commonpb::SnapshotInfo> CreateSnapshot(const std::string& function_id) override;
  absl::StatusOr<commonpb::Secret> SetSecret(const commonpb::SetSecretRequest& request) override;
  absl::StatusOr<std::vector<commonpb::Secret>> ListSecrets(const std::string& app_id) override;
  absl::Status DeleteSecret(const std::string& app_id, const std::string& name) override;
  absl::StatusOr<gatewaypb::ExplainFreezingResponse> ExplainFreezing(
      const gatewaypb::ExplainFreezingRequest& request) override {
    explained.push_back(request);
    return explanation;
  }
  absl::StatusOr<std::vector<std::string>> FindImage(const std::string& image_id) override;
  absl::StatusOr<gatewaypb::PushImageResponse> PushImage(
      const gatewaypb::PushImageRequest::Header& header,
      absl::FunctionRef<absl::Status(ChunkSink)> produce) override;
  absl::Status ReadLogs(const gatewaypb::ReadLogsRequest& request,
                        absl::FunctionRef<absl::Status(const gatewaypb::LogLine&)> on_line) override;
  absl::StatusOr<gatewaypb::ServerInfo> GetServerInfo() override {
    if (!reachable.ok()) return reachable;
    return server_info;
  }
  void CancelAll() override {}

  std::map<std::string, commonpb::App> apps;            // by id
  std::map<std::string, commonpb::Function> functions;  // by id
  std::vector<commonpb::Node> nodes;
  std::vector<commonpb::SnapshotInfo> snapshots;
  // What CreateSnapshot() answers; OK: it adds the function's next snapshot.
  absl::Status freezing;
  std::map<std::pair<std::string, std::string>, std::string> secrets;  // app id and name -> value
  absl::StatusOr<gatewaypb::ExplainFreezingResponse> explanation = gatewaypb::ExplainFreezingResponse();
  std::vector<gatewaypb::ExplainFreezingRequest> explained;
  std::map<std::string, std::vector<std::string>> images;  // image id -> nodes
  std::vector<gatewaypb::LogLine> log;
  gatewaypb::ServerInfo server_info;
  // Answers Invoke; empty: echoes.
  std::function<absl::StatusOr<gatewaypb::InvokeResponse>(const gatewaypb::InvokeRequest&,
                                                          const InvokeOptions&)>
      invoke;
  // What apps, functions and versions answer when not OK.
  absl::Status reachable;

  // What was asked.
  std::vector<gatewaypb::InvokeRequest> invoked;
  std::vector<InvokeOptions> invoke_options;
  int streams = 0;
  std::vector<std::pair<std::string, std::string>> pushed;  // image id, archive
  std::vector<commonpb::Function> updates;
  gatewaypb::ReadLogsRequest logs_request;

 private:
  int next_id_ = 1;
};

// Ids in the cluster's form.
std::string TestId(int number);

// The docker program over images in memory, and whatever else a test adds. Records every argv.
class FakeDocker final : public ProcessRunner {
 public:
  absl::StatusOr<ProcessResult> Run(const ProcessSpec& spec) override;

  std::map<std::string, std::string> images;                   // reference -> id
  std::map<std::string, std::vector<std::string>> containers;  // id -> labels
  // Files that a Maven build leaves in target/.
  std::vector<std::string> built_jars = {"fn-1.0.jar", "fn-1.0-sources.jar", "org.x.lib-2.jar"};
  // What each Maven run does, in order; then success.
  std::vector<ProcessResult> maven_results;
  bool installed = true;
  bool daemon = true;
  ProcessResult build_result;
  std::string archive = "archive";
  // Of any image: its ENTRYPOINT and CMD, one word a line; path -> content of what can be copied out of it.
  std::string image_command;
  std::map<std::string, std::string> image_files;
  // Answers programs other than docker.
  std::function<absl::StatusOr<ProcessResult>(const ProcessSpec&)> other;

  std::vector<ProcessSpec> runs;
  // The text of the Dockerfile and the names in the context of the last build.
  std::string dockerfile;
  std::vector<std::string> context;
  std::vector<std::string> copied_in;
  // The argv's, joined, that begin with `prefix`.
  std::vector<std::string> RunsOf(const std::string& prefix) const;
};

class FakeMetricsScraper : public MetricsScraper {
 public:
  absl::StatusOr<std::string> Scrape(const std::string& address) override {
    if (pages.count(address) == 0) return absl::UnavailableError("nobody there");
    return pages[address]();
  }
  std::map<std::string, std::function<std::string()>> pages;
};

// Everything a command needs, and the streams to look at afterwards.
struct TestEnvironment {
  TestEnvironment();
  int Run(const std::vector<std::string>& arguments);

  thaw::testing::FakeClock clock;
  FakeInterrupt interrupt{clock};
  std::shared_ptr<FakeGatewayClient> client = std::make_shared<FakeGatewayClient>();
  FakeDocker docker;
  FakeMetricsScraper metrics;
  std::istringstream in;
  std::ostringstream out, err;
  std::map<std::string, std::string> variables;
  Terminal out_terminal;
  // What is typed when asked for something hidden; unset: standard input is no terminal.
  std::optional<std::string> typed;
  std::string prompt;
  ConnectionOptions connected;
};

// A folder that goes away with its owner.
class TempDirectory {
 public:
  TempDirectory();
  ~TempDirectory();
  const std::string& path() const { return path_; }
  // Makes parent folders, too.
  void Write(const std::string& name, const std::string& text) const;

 private:
  std::string path_;
};

}  // namespace thaw::cli::testing

#endif  // THAW_TESTS_CLI_FAKES_H_
