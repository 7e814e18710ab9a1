#ifndef THAW_CLI_DEMO_DEMO_H_
#define THAW_CLI_DEMO_DEMO_H_

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/demo/node_control.h"
#include "cli/demo/report.h"
#include "cli/deploy/deployer.h"
#include "cli/gateway/client.h"
#include "cli/interrupt.h"
#include "cli/metrics/scraper.h"
#include "cli/output/progress.h"
#include "common/clock/clock.h"

namespace thaw::cli {

// The demo of the idea: a slow function is frozen after its fifth call and thawed on the same node, on
// another node, and after its node is gone. Every claim is checked; the report has all of them, and what was
// measured.
//
//   1  deploy a fresh function, and see its image on every node
//   2  first call on A: cold, over five seconds; calls two to five: warm
//   3  its snapshot is listed, made on A after five calls
//   4  the idle instance is gone; the next call on A is restored, with the frozen token, and says six
//   5  a call on B, which never ran it: restored-remote, and B has received the snapshot's chunks
//   6  A is killed: the next call is answered within five seconds; a call on C is restored-remote
//
// Afterwards A is brought back, and function, app and image are removed: also when a claim fails or the user
// interrupts.
class Demo {
 public:
  struct Options {
    std::string source = "examples/fndemo";
    std::string node_a = "a", node_b = "b", node_c = "c";
    // Node id to host:port of its metrics page.
    std::map<std::string, std::string> metrics;
    absl::Duration idle_timeout = absl::Seconds(2);
    // The most that is waited for: the image on every node, the snapshot, the end of the idle instance, a
    // node.
    absl::Duration image_limit = absl::Minutes(2);
    absl::Duration snapshot_limit = absl::Minutes(2);
    absl::Duration idle_limit = absl::Seconds(30);
    absl::Duration slot_limit = absl::Seconds(45);
    absl::Duration node_limit = absl::Minutes(2);
    // Leave app, function and image there afterwards.
    bool keep = false;
  };
  // All must outlive it.
  struct Deps {
    GatewayClient& client;
    std::function<absl::StatusOr<DeployResult>(const DeployRequest&)> deploy;
    // Removes the local images that were built for an app.
    std::function<absl::Status(const std::string&)> remove_images;
    NodeControl& nodes;
    MetricsScraper& metrics;
    const Clock& clock;
    Interrupt& interrupt;
    Progress& progress;
  };

  Demo(Deps deps, Options options) : deps_(std::move(deps)), options_(std::move(options)) {}

  // Runs it once. An error is one that kept the demo from being held at all (cluster out of reach, deploy
  // failed, interrupted); a claim that fails is in the report. `report()` has what was found in either case.
  absl::Status Run();
  const DemoReport& report() const { return report_; }

 private:
  absl::Status CheckCluster();
  absl::Status Steps();
  absl::Status StepDeploy();
  absl::Status StepColdAndWarm();
  absl::Status StepSnapshot();
  absl::Status StepRestoredHere();
  absl::Status StepRestoredElsewhere();
  absl::Status StepNodeLoss();
  void CheckSpeed();
  void CleanUp();

  // Calls the function, pinned to `node` unless it is empty, and adds the call to the report.
  absl::StatusOr<DemoCall> Call(const std::string& step, const std::string& node);
  // A restored call's claims: kind, node, token, count.
  void CheckRestored(const DemoCall& call, const std::string& node, const std::string& kind,
                     const std::string& suffix);
  void Check(const std::string& name, bool ok, const std::string& detail);
  // Polls until `done` says so, for at most `limit`; false when the time is up. `done` describes in its
  // argument what is still missing.
  absl::StatusOr<bool> WaitUntil(absl::Duration limit,
                                 const std::function<absl::StatusOr<bool>(std::string&)>& done);
  absl::StatusOr<commonpb::Node> GetNode(const std::string& id);

  // What a node's counters say now.
  struct Counters {
    // Of snapshots.
    double received_bytes = 0;
    double sent_bytes = 0;
    std::map<std::string, double> answered;  // by start kind
  };
  absl::StatusOr<Counters> Scrape(const std::string& node);
  // That `node` has received no more than the snapshot's chunks, and all of it from `from`.
  void CheckReceived(const std::string& node, const Counters& before, const std::string& from,
                     const Counters& from_before, const std::string& name);
  void CheckAnswered(const std::string& node, const Counters& before,
                     const std::map<std::string, int>& expected, const std::string& name);

  Deps deps_;
  const Options options_;
  DemoReport report_;
  std::string app_name_;
  commonpb::Function function_;
  std::string token_;
  // Instances that A had before the demo.
  std::uint32_t instances_before_ = 0;
  std::map<std::string, Counters> counters_before_;
  absl::Time last_call_;
  bool a_killed_ = false;
};

// The exit-worthy status of a finished demo: OK, or an INTERNAL error with reason CLAIM_FAILED that names the
// claims.
absl::Status DemoStatus(const DemoReport& report);

// Reads the demo function's answer: JSON with `token` and `calls`. INVALID_ARGUMENT otherwise.
struct DemoAnswer {
  std::string token;
  std::int64_t calls = 0;
};
absl::StatusOr<DemoAnswer> ParseDemoAnswer(const std::string& body);

}  // namespace thaw::cli

#endif  // THAW_CLI_DEMO_DEMO_H_
