#include "tests/support/cluster.h"

#include <arpa/inet.h>
#include <grpcpp/create_channel.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/ids/ids.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"
#include "common/status/status_macros.h"

namespace thaw::testing {
namespace {

namespace gw = thaw::gateway::v1;
namespace fs = std::filesystem;

// THAW_JAVA_RUNTIME_IMAGE names another one than deploy's.
std::string RuntimeImage() {
  const char* given = getenv("THAW_JAVA_RUNTIME_IMAGE");
  return given != nullptr ? given : "thaw/java-runtime:latest";
}
constexpr absl::Duration kStartLimit = absl::Minutes(2);
constexpr absl::Duration kAdminLimit = absl::Seconds(20);

void SetDeadline(grpc::ClientContext& context, absl::Duration limit) {
  context.set_deadline(absl::ToChronoTime(absl::Now() + limit));
}

// Where deploy/images/build-fdk leaves its jars.
std::string FdkDir(const std::string& project) {
  return absl::StrCat(OutDir(), "/fdk/", project);
}
std::string TestFunctionsDir() { return FdkDir("functions"); }

// Where images_criu of deploy/lib/images.sh leaves the self-contained CRIU.
std::string CriuBundleDir() { return OutDir() + "/criu"; }

}  // namespace

absl::StatusOr<std::unique_ptr<Cluster>> Cluster::Start(const Options& options) {
  std::unique_ptr<Cluster> cluster(new Cluster(options));
  const absl::Status brought = cluster->Bring();
  if (brought.ok()) return cluster;
  std::string logs;
  for (const auto& entry : fs::directory_iterator(cluster->dir_)) {
    if (entry.path().extension() == ".log") {
      absl::StrAppend(&logs, "\n--- ", entry.path().filename().string(), "\n", ReadFileOrEmpty(entry.path()));
    }
  }
  return absl::Status(brought.code(), absl::StrCat(brought.message(), logs));
}

absl::Status Cluster::Bring() {
  // Short: unix sockets lie below it.
  char pattern[] = "/tmp/tc-XXXXXX";
  dir_ = mkdtemp(pattern);
  suffix_ = NewHexId(3);
  std::ofstream(token_file()) << NewHexId(16) << "\n";
  RETURN_IF_ERROR(MakeCriuBundle());
  RETURN_IF_ERROR(StartScheduler());
  RETURN_IF_ERROR(StartGateway());
  for (const std::string& node : options_.nodes) RETURN_IF_ERROR(StartNode(node));
  for (const std::string& node : options_.nodes) {
    if (!AwaitNode(node, thaw::common::v1::NODE_STATE_READY)) {
      return absl::UnavailableError(absl::StrCat("node ", node, " did not join"));
    }
  }
  return absl::OkStatus();
}

absl::Status Cluster::MakeCriuBundle() {
  criu_bundle_ = CriuBundleDir();
  if (options_.criu_wrapper.empty()) return absl::OkStatus();
  const std::string real = criu_bundle_;
  criu_bundle_ = dir_ + "/criu";
  std::error_code error;
  fs::copy(real, criu_bundle_, fs::copy_options::recursive, error);
  if (!error) fs::rename(criu_bundle_ + "/criu", criu_bundle_ + "/criu.real", error);
  if (!error) fs::copy_file(options_.criu_wrapper, criu_bundle_ + "/criu", error);
  return error ? absl::InternalError(absl::StrCat(criu_bundle_, " can't be made: ", error.message())) : absl::OkStatus();
}

Cluster::~Cluster() {
  for (auto& [node, agent] : agents_) {
    if (agent.process != nullptr) agent.process->Kill();
  }
  if (gateway_ != nullptr) gateway_->Kill();
  if (scheduler_ != nullptr) scheduler_->Kill();
  for (const std::string& node : options_.nodes) {
    for (const std::string& container : Containers(node)) RunCommand({"docker", "rm", "-f", container});
  }
  const char* keep = getenv("THAW_KEEP_TEST_DIRS");
  if (keep == nullptr && !dir_.empty()) {
    std::error_code ignored;
    fs::remove_all(dir_, ignored);
  }
}

absl::Status Cluster::StartScheduler() {
  const std::string port_file = dir_ + "/scheduler.ports";
  // A scheduler that comes back must be found where it was.
  std::vector<std::string> argv = {THAW_SCHEDULER_BINARY,
                                   absl::StrCat("--listen=127.0.0.1:", scheduler_port_),
                                   "--metrics-listen=127.0.0.1:0",
                                   "--data-dir=" + dir_ + "/scheduler",
                                   "--cluster-token-file=" + token_file(),
                                   "--port-file=" + port_file,
                                   "--heartbeat-interval=200ms",
                                   "--lost-after=" + absl::FormatDuration(options_.lost_after)};
  argv.insert(argv.end(), options_.scheduler_flags.begin(), options_.scheduler_flags.end());
  fs::remove(port_file);
  fs::create_directories(dir_ + "/scheduler");
  ASSIGN_OR_RETURN(scheduler_, Process::Start(argv, dir_ + "/scheduler.log"));
  ASSIGN_OR_RETURN(auto ports, AwaitPortFile(port_file, *scheduler_, kStartLimit));
  scheduler_port_ = ports["grpc"];
  scheduler_metrics_port_ = ports["metrics"];
  return absl::OkStatus();
}

void Cluster::KillScheduler() { scheduler_->Kill(); }

absl::Status Cluster::StartGateway() {
  const std::string port_file = dir_ + "/gateway.ports";
  std::vector<std::string> argv = {THAW_GATEWAY_BINARY,
                                   "--listen=127.0.0.1:0",
                                   "--http-listen=127.0.0.1:0",
                                   absl::StrCat("--scheduler=127.0.0.1:", scheduler_port_),
                                   "--allow-node-pinning",
                                   "--cluster-token-file=" + token_file(),
                                   "--port-file=" + port_file};
  argv.insert(argv.end(), options_.gateway_flags.begin(), options_.gateway_flags.end());
  ASSIGN_OR_RETURN(gateway_, Process::Start(argv, dir_ + "/gateway.log"));
  ASSIGN_OR_RETURN(auto ports, AwaitPortFile(port_file, *gateway_, kStartLimit));
  gateway_port_ = ports["grpc"];
  http_port_ = ports["http"];
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  const auto channel = grpc::CreateCustomChannel(gateway_address(), grpc::InsecureChannelCredentials(), arguments);
  invoker_ = gw::Invoker::NewStub(channel);
  admin_ = gw::Admin::NewStub(channel);
  return absl::OkStatus();
}

std::vector<std::string> Cluster::AgentCommand(const std::string& node) {
  const Agent& agent = agents_[node];
  std::vector<std::string> argv;
  if (const auto it = options_.node_prefix.find(node); it != options_.node_prefix.end()) argv = it->second;
  const std::vector<std::string> words = {
      THAW_AGENT_BINARY,
      "--node-id=" + NodeId(node),
      absl::StrCat("--listen=127.0.0.1:", agent.grpc_port),
      absl::StrCat("--metrics-listen=127.0.0.1:", agent.metrics_port),
      absl::StrCat("--scheduler=127.0.0.1:", scheduler_port_),
      "--data-dir=" + data_dir(node),
      std::string("--init-binary=") + THAW_INIT_BINARY,
      "--criu-bundle=" + criu_bundle_,
      "--preload-dir=" THAW_PRELOAD_DIR,
      "--cluster-token-file=" + token_file(),
      "--port-file=" + dir_ + "/" + node + ".ports"};
  argv.insert(argv.end(), words.begin(), words.end());
  argv.insert(argv.end(), options_.agent_flags.begin(), options_.agent_flags.end());
  if (const auto it = options_.node_flags.find(node); it != options_.node_flags.end()) {
    argv.insert(argv.end(), it->second.begin(), it->second.end());
  }
  return argv;
}

absl::Status Cluster::StartNode(const std::string& node) {
  Agent& agent = agents_[node];
  const std::string port_file = dir_ + "/" + node + ".ports";
  fs::remove(port_file);
  ASSIGN_OR_RETURN(agent.process, Process::Start(AgentCommand(node), dir_ + "/" + node + ".log"));
  ASSIGN_OR_RETURN(auto ports, AwaitPortFile(port_file, *agent.process, kStartLimit));
  agent.grpc_port = ports["grpc"];
  agent.metrics_port = ports["metrics"];
  return absl::OkStatus();
}

void Cluster::KillNode(const std::string& node, bool with_containers) {
  agents_.at(node).process->Kill();
  if (!with_containers) return;
  for (const std::string& container : Containers(node)) RunCommand({"docker", "rm", "-f", container});
}

absl::Status Cluster::StopNode(const std::string& node) {
  agents_.at(node).process->Signal(SIGTERM);
  return agents_.at(node).process->Wait(absl::Seconds(30)).status();
}

Answer Cluster::Invoke(const std::string& function_id, const std::string& body, const std::string& node,
                       absl::Duration limit) {
  grpc::ClientContext context;
  SetDeadline(context, limit);
  if (!node.empty()) context.AddMetadata("thaw-node", NodeId(node));
  gw::InvokeRequest request;
  request.mutable_function()->set_id(function_id);
  request.set_body(body);
  request.set_content_type("text/plain");
  gw::InvokeResponse response;
  Answer answer;
  answer.status = FromGrpcStatus(invoker_->Invoke(&context, request, &response));
  answer.body = response.body();
  answer.start = response.start();
  return answer;
}

absl::StatusOr<std::string> Cluster::CreateFunction(const std::string& name, const TestFunction& function) {
  if (app_id_.empty()) {
    grpc::ClientContext context;
    SetDeadline(context, kAdminLimit);
    thaw::common::v1::CreateAppRequest request;
    request.mutable_app()->set_name("test");
    thaw::common::v1::App app;
    RETURN_IF_ERROR(FromGrpcStatus(admin_->CreateApp(&context, request, &app)));
    app_id_ = app.id();
  }
  const CommandResult inspected = RunCommand({"docker", "image", "inspect", "-f", "{{.Id}}", function.image});
  if (inspected.exit_code != 0) return absl::NotFoundError(inspected.err);
  grpc::ClientContext context;
  SetDeadline(context, kAdminLimit);
  thaw::common::v1::CreateFunctionRequest request;
  auto& made = *request.mutable_function();
  made.set_name(name);
  made.set_app_id(app_id_);
  made.set_image(function.image);
  made.set_image_id(std::string(absl::StripAsciiWhitespace(inspected.out)));
  made.set_memory_mib(function.memory_mib);
  *made.mutable_timeout() = ToProto(function.timeout);
  *made.mutable_idle_timeout() = ToProto(function.idle_timeout);
  for (const auto& [key, value] : function.config) (*made.mutable_config())[key] = value;
  *made.mutable_freeze() = function.freeze;
  if (function.checkpoint_after == 0) {
    made.mutable_checkpoint()->set_mode(thaw::common::v1::CheckpointPolicy::MODE_NEVER);
  } else {
    made.mutable_checkpoint()->set_mode(thaw::common::v1::CheckpointPolicy::MODE_AFTER_INVOCATIONS);
    made.mutable_checkpoint()->set_after_invocations(function.checkpoint_after);
  }
  *made.mutable_freeze() = function.freeze;
  thaw::common::v1::Function answer;
  RETURN_IF_ERROR(FromGrpcStatus(admin_->CreateFunction(&context, request, &answer)));
  return answer.id();
}

absl::StatusOr<thaw::common::v1::Function> Cluster::UpdateFunction(const thaw::common::v1::Function& function) {
  grpc::ClientContext context;
  SetDeadline(context, kAdminLimit);
  thaw::common::v1::UpdateFunctionRequest request;
  *request.mutable_function() = function;
  thaw::common::v1::Function answer;
  RETURN_IF_ERROR(FromGrpcStatus(admin_->UpdateFunction(&context, request, &answer)));
  return answer;
}

absl::StatusOr<thaw::common::v1::Function> Cluster::GetFunction(const std::string& function_id) {
  grpc::ClientContext context;
  SetDeadline(context, kAdminLimit);
  thaw::common::v1::GetFunctionRequest request;
  request.set_id(function_id);
  thaw::common::v1::Function answer;
  RETURN_IF_ERROR(FromGrpcStatus(admin_->GetFunction(&context, request, &answer)));
  return answer;
}

std::vector<thaw::common::v1::SnapshotInfo> Cluster::Snapshots(const std::string& function_id) {
  grpc::ClientContext context;
  SetDeadline(context, kAdminLimit);
  thaw::common::v1::ListSnapshotsRequest request;
  request.set_function_id(function_id);
  thaw::common::v1::ListSnapshotsResponse response;
  (void)admin_->ListSnapshots(&context, request, &response);
  return {response.snapshots().begin(), response.snapshots().end()};
}

absl::StatusOr<thaw::common::v1::SnapshotInfo> Cluster::MakeSnapshot(const std::string& function_id,
                                                                     const std::string& node, const std::string& body) {
  for (int i = 0; i < 5; ++i) RETURN_IF_ERROR(Invoke(function_id, body, node).status);
  std::vector<thaw::common::v1::SnapshotInfo> snapshots;
  if (!Eventually([&] { return !(snapshots = Snapshots(function_id)).empty(); }, absl::Minutes(1))) {
    return absl::DeadlineExceededError(absl::StrCat("no snapshot was published; agent's log: ", Log(node)));
  }
  return snapshots[0];
}

std::vector<thaw::common::v1::Node> Cluster::Nodes() {
  grpc::ClientContext context;
  SetDeadline(context, kAdminLimit);
  thaw::common::v1::ListNodesResponse response;
  (void)admin_->ListNodes(&context, thaw::common::v1::ListNodesRequest(), &response);
  return {response.nodes().begin(), response.nodes().end()};
}

bool Cluster::AwaitNode(const std::string& node, thaw::common::v1::NodeState state, absl::Duration limit) {
  return Eventually(
      [&] {
        for (const auto& known : Nodes()) {
          if (known.id() == NodeId(node)) return known.state() == state;
        }
        return false;
      },
      limit);
}

bool Cluster::AwaitSlots(const std::string& node, std::uint32_t at_least, absl::Duration limit) {
  return Eventually([&] { return AgentMetric(node, "thaw_agent_slots", {"state=\"empty\""}) >= at_least; }, limit);
}

bool Cluster::AwaitInstances(const std::string& node, std::uint32_t count, absl::Duration limit) {
  return Eventually([&] { return AgentMetric(node, "thaw_agent_slots", {"state=\"occupied\""}) == count; }, limit);
}

std::string Cluster::AgentMetrics(const std::string& node) { return HttpGet(agent_metrics_port(node), "/metrics"); }

double Cluster::AgentMetric(const std::string& node, const std::string& name, const std::vector<std::string>& labels) {
  return SumOfSeries(AgentMetrics(node), name, labels);
}

double Cluster::SchedulerMetric(const std::string& name, const std::vector<std::string>& labels) {
  return SumOfSeries(HttpGet(scheduler_metrics_port_, "/metrics"), name, labels);
}

std::string Cluster::gateway_address() const { return absl::StrCat("127.0.0.1:", gateway_port_); }
std::string Cluster::http_address() const { return absl::StrCat("127.0.0.1:", http_port_); }

std::vector<std::string> Cluster::Containers(const std::string& node, const std::string& filter) {
  std::vector<std::string> argv = {"docker", "ps", "-aq", "--no-trunc", "--filter", "label=thaw.node=" + NodeId(node)};
  if (!filter.empty()) argv.insert(argv.end(), {"--filter", filter});
  return absl::StrSplit(RunCommand(argv).out, '\n', absl::SkipEmpty());
}

double SumOfSeries(const std::string& text, const std::string& name, const std::vector<std::string>& labels) {
  double sum = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::StartsWith(line, name)) continue;
    const absl::string_view rest = line.substr(name.size());
    if (rest.empty() || (rest[0] != '{' && rest[0] != ' ')) continue;
    bool all = true;
    for (const std::string& label : labels) all = all && absl::StrContains(rest, label);
    const auto space = line.rfind(' ');
    double value = 0;
    if (all && absl::SimpleAtod(line.substr(space + 1), &value)) sum += value;
  }
  return sum;
}

std::string ExchangeText(int port, const std::string& request, int limit_seconds) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval limit{limit_seconds, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
    // The answer to a request that is too large comes before it is read to its end.
    (void)!send(fd, request.data(), request.size(), MSG_NOSIGNAL);
    char buffer[65536];
    ssize_t got;
    while ((got = read(fd, buffer, sizeof buffer)) > 0) answer.append(buffer, static_cast<std::size_t>(got));
  }
  close(fd);
  return answer;
}

std::string HttpGet(int port, const std::string& path) {
  const std::string answer = ExchangeText(port, absl::StrCat("GET ", path, " HTTP/1.0\r\nHost: localhost\r\n\r\n"), 5);
  const auto body = answer.find("\r\n\r\n");
  return body == std::string::npos ? "" : answer.substr(body + 4);
}

absl::StatusOr<std::string> JavaTestImage(const std::string& name, const std::string& handler, const std::string& base) {
  return JavaImageOf("functions", name, handler, base);
}

absl::StatusOr<std::string> JavaImageOf(const std::string& project, const std::string& name, const std::string& handler,
                                        const std::string& base) {
  const std::string tag = absl::StrCat("thaw-test/", name, ":latest");
  char pattern[] = "/tmp/ti-XXXXXX";
  const std::string dir = mkdtemp(pattern);
  // The layers are found again by their content, so that making the image a second time takes no time.
  fs::create_directories(dir + "/app");
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(FdkDir(project), error)) {
    fs::copy_file(entry.path(), dir + "/app/" + entry.path().filename().string(), error);
  }
  std::ofstream(dir + "/Dockerfile") << "FROM " << (base.empty() ? RuntimeImage() : base) << "\nCOPY app/ /function/app/\nCMD [\"" << handler
                                     << "\"]\n";
  const CommandResult built =
      RunCommand({"docker", "build", "-q", "-t", tag, dir}, absl::Minutes(3), {{"DOCKER_BUILDKIT", "0"}});
  fs::remove_all(dir, error);
  if (built.exit_code != 0) {
    return absl::InternalError(absl::StrCat("image ", tag, " can't be built: ", built.err, built.out));
  }
  return tag;
}

std::string OutDir() {
  const char* out = getenv("THAW_OUT");
  return out != nullptr ? out : THAW_OUT_DIR;
}

std::string MissingOnThisHost() {
  const CommandResult engine = RunCommand({"docker", "version", "-f", "{{.Server.Version}}"}, absl::Seconds(20));
  if (engine.exit_code != 0) return "no Docker Engine answers; tests/run starts one: " + engine.err;
  if (RunCommand({"docker", "image", "inspect", RuntimeImage()}).exit_code != 0) {
    return absl::StrCat("no image ", RuntimeImage(), "; tests/run builds it");
  }
  if (!fs::exists(CriuBundleDir() + "/criu")) {
    return absl::StrCat("no CRIU for the containers in ", CriuBundleDir(), "; tests/run makes it");
  }
  if (!fs::exists(TestFunctionsDir())) {
    return absl::StrCat("no test functions in ", TestFunctionsDir(), "; tests/run builds them");
  }
  return "";
}

}  // namespace thaw::testing
