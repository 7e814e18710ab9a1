#ifndef THAW_TESTS_SUPPORT_CLUSTER_H_
#define THAW_TESTS_SUPPORT_CLUSTER_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/support/process.h"
#include "thaw/gateway/v1/gateway.grpc.pb.h"

namespace thaw::testing {

// What one call gave.
struct Answer {
  absl::Status status;
  std::string body;
  thaw::gateway::v1::StartInfo start;

  bool ok() const { return status.ok(); }
};

// The spec of a function that a test makes.
struct TestFunction {
  std::string image;
  std::map<std::string, std::string> config;
  std::uint32_t memory_mib = 256;
  absl::Duration timeout = absl::Seconds(30);
  absl::Duration idle_timeout = absl::Seconds(60);
  // 0: never.
  std::uint32_t checkpoint_after = 5;
  thaw::common::v1::FreezeSettings freeze = {};
};

// A whole cluster of real processes on this machine: scheduler, gateway, agents over the real Docker Engine. Everything
// lies in a directory of its own and is gone afterwards, containers included.
class Cluster {
 public:
  struct Options {
    std::vector<std::string> nodes = {"a", "b", "c"};
    std::vector<std::string> scheduler_flags;
    // Silence after which the scheduler takes a node for lost. Agents come back to a restarted scheduler within 2 s or a
    // little more.
    absl::Duration lost_after = absl::Seconds(2);
    std::vector<std::string> gateway_flags;
    std::vector<std::string> agent_flags;
    // For one node only, after the others'.
    std::map<std::string, std::vector<std::string>> node_flags;
    // Run in front of a node's agent, e.g. {"ip", "netns", "exec", "x"}.
    std::map<std::string, std::vector<std::string>> node_prefix;
    // Instead of a directory below dir().
    std::map<std::string, std::string> data_dirs;
    // A program that stands before CRIU in every slot: it is /thaw/criu/criu there, and CRIU /thaw/criu/criu.real.
    std::string criu_wrapper;
  };

  static absl::StatusOr<std::unique_ptr<Cluster>> Start(const Options& options);
  ~Cluster();

  // --- calls ---
  // `node` pins.
  Answer Invoke(const std::string& function_id, const std::string& body = "", const std::string& node = "",
                absl::Duration limit = absl::Minutes(1));
  thaw::gateway::v1::Invoker::Stub& invoker() { return *invoker_; }
  thaw::gateway::v1::Admin::Stub& admin() { return *admin_; }

  // Makes app `test` (once) and the function; its id.
  absl::StatusOr<std::string> CreateFunction(const std::string& name, const TestFunction& function);
  absl::StatusOr<thaw::common::v1::Function> UpdateFunction(const thaw::common::v1::Function& function);
  absl::StatusOr<thaw::common::v1::Function> GetFunction(const std::string& function_id);
  std::vector<thaw::common::v1::SnapshotInfo> Snapshots(const std::string& function_id);
  // Calls until the function's snapshot is listed.
  absl::StatusOr<thaw::common::v1::SnapshotInfo> MakeSnapshot(const std::string& function_id, const std::string& node,
                                                              const std::string& body = "");
  std::vector<thaw::common::v1::Node> Nodes();
  // Waits until a node has so many of those.
  bool AwaitNode(const std::string& node, thaw::common::v1::NodeState state, absl::Duration limit = absl::Seconds(20));
  bool AwaitSlots(const std::string& node, std::uint32_t at_least, absl::Duration limit = absl::Seconds(30));
  bool AwaitInstances(const std::string& node, std::uint32_t count, absl::Duration limit = absl::Seconds(30));

  // --- parts ---
  // SIGKILL; with its containers, as when a machine dies.
  void KillNode(const std::string& node, bool with_containers);
  absl::Status StartNode(const std::string& node);
  // What StartNode runs, for those who start it by other means; with the ports of its first start.
  std::vector<std::string> AgentCommand(const std::string& node);
  // SIGTERM and waits for the end.
  absl::Status StopNode(const std::string& node);
  void KillScheduler();
  absl::Status StartScheduler();
  Process& agent(const std::string& node) { return *agents_.at(node).process; }

  // --- looking ---
  std::string dir() const { return dir_; }
  std::string data_dir(const std::string& node) const {
    const auto it = options_.data_dirs.find(node);
    return it != options_.data_dirs.end() ? it->second : dir_ + "/" + node;
  }
  // Sum of a metric's series whose text contains all of `labels`; NaN-free, 0 when there is none.
  double AgentMetric(const std::string& node, const std::string& name, const std::vector<std::string>& labels = {});
  std::string AgentMetrics(const std::string& node);
  // The same of the scheduler.
  double SchedulerMetric(const std::string& name, const std::vector<std::string>& labels = {});
  // The part's log so far.
  std::string Log(const std::string& part) { return ReadFileOrEmpty(dir_ + "/" + part + ".log"); }
  std::string gateway_address() const;
  std::string http_address() const;
  int agent_port(const std::string& node) const { return agents_.at(node).grpc_port; }
  int agent_metrics_port(const std::string& node) const { return agents_.at(node).metrics_port; }
  int scheduler_port() const { return scheduler_port_; }
  std::string token_file() const { return dir_ + "/token"; }
  // As the labels have it: unique per cluster, as clusters of other tests share the engine.
  std::string NodeId(const std::string& node) const { return node + "-" + suffix_; }
  // Ids of the node's containers.
  std::vector<std::string> Containers(const std::string& node, const std::string& filter = "");

 private:
  struct Agent {
    std::unique_ptr<Process> process;
    int grpc_port = 0;
    int metrics_port = 0;
  };
  explicit Cluster(const Options& options) : options_(options) {}
  absl::Status Bring();
  absl::Status StartGateway();
  absl::Status MakeCriuBundle();

  const Options options_;
  std::string dir_, suffix_, app_id_, criu_bundle_;
  std::unique_ptr<Process> scheduler_, gateway_;
  std::map<std::string, Agent> agents_;
  int scheduler_port_ = 0, scheduler_metrics_port_ = 0, gateway_port_ = 0, http_port_ = 0;
  std::unique_ptr<thaw::gateway::v1::Invoker::Stub> invoker_;
  std::unique_ptr<thaw::gateway::v1::Admin::Stub> admin_;
};

// What comes back on 127.0.0.1:port after `request`, until the other side closes or is silent for so long; empty where
// nobody listens.
std::string ExchangeText(int port, const std::string& request, int limit_seconds);
// Sum of a metric's series in a text of GET /metrics whose labels contain all of `labels`; 0 when there is none.
double SumOfSeries(const std::string& text, const std::string& name, const std::vector<std::string>& labels = {});
// Body of GET http://127.0.0.1:port/path, which has 5 s.
std::string HttpGet(int port, const std::string& path);

// An image `thaw-test/<name>` FROM the Java runtime image with the jar of tests/functions/java and `handler` as its
// command; made once, found again after. `base`: another image than the default JDK's.
absl::StatusOr<std::string> JavaTestImage(const std::string& name, const std::string& handler, const std::string& base = "");
// The same with the jars of another project that deploy/images/build-fdk has built into fdk/<project>.
absl::StatusOr<std::string> JavaImageOf(const std::string& project, const std::string& name, const std::string& handler,
                                        const std::string& base = "");

// Fails the test, or with a developer's machine skips it, when this host can't run the cluster: no engine, no runtime
// image. With THAW_REQUIRE_HOST=1, as in CI, what is missing is a failure.
#define THAW_NEED_HOST()                                                                   \
  do {                                                                                     \
    const std::string missing = ::thaw::testing::MissingOnThisHost();                      \
    if (!missing.empty()) {                                                                \
      if (getenv("THAW_REQUIRE_HOST") != nullptr) FAIL() << missing;                       \
      GTEST_SKIP() << missing;                                                             \
    }                                                                                      \
  } while (false)
std::string MissingOnThisHost();

// Where tests/run leaves what the tests need.
std::string OutDir();

}  // namespace thaw::testing

#endif  // THAW_TESTS_SUPPORT_CLUSTER_H_
