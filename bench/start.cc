#include "bench/start.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "bench/docker_function.h"
#include "bench/report.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"
#include "common/status/status_macros.h"
#include "tests/support/cluster.h"

namespace thaw::bench {
namespace {

namespace gw = thaw::gateway::v1;
using testing::Cluster;

constexpr std::uint32_t kMemoryMib = 256;
constexpr absl::Duration kIdleTimeout = absl::Seconds(1);
constexpr absl::Duration kReadyLimit = absl::Seconds(60);
// What the last sample left to do (containers removed, copies written) should not be part of the next.
constexpr absl::Duration kSettle = absl::Milliseconds(300);
// A start that found a slot took it in microseconds; one that did not made a container, in hundreds of milliseconds.
constexpr absl::Duration kTakingASlot = absl::Milliseconds(2);
// An agent's gauges tell of a call this late.
constexpr absl::Duration kGaugesAreOld = absl::Milliseconds(700);
constexpr int kSlowSamples = 3;
constexpr char kBody[] = "hello";

struct Sample {
  absl::Duration total;
  // Thaw's own account; nothing for what ran without Thaw.
  absl::Duration queue, container, fetch, restore, function;
  bool as_intended = true;
};

struct Case {
  std::string name;
  bool by_thaw = true;
  std::vector<Sample> samples;
};

std::vector<absl::Duration> Of(const Case& measured, absl::Duration Sample::* part) {
  std::vector<absl::Duration> values;
  for (const Sample& sample : measured.samples) values.push_back(sample.*part);
  return values;
}

using TakeSample = std::function<absl::StatusOr<Sample>()>;

// What a start by Thaw must have been to count.
struct Intent {
  gw::StartKind kind;
  bool from_slot;
};

absl::StatusOr<Sample> TimedInvoke(Cluster& cluster, const std::string& function_id, const std::string& node,
                                   const Intent& intent) {
  const absl::Time begun = absl::Now();
  const testing::Answer answer = cluster.Invoke(function_id, kBody, node);
  Sample sample;
  sample.total = absl::Now() - begun;
  RETURN_IF_ERROR(answer.status);
  const auto& phases = answer.start.phases();
  sample.queue = FromProto(phases.queue());
  sample.container = FromProto(phases.container());
  sample.fetch = FromProto(phases.fetch());
  sample.restore = FromProto(phases.restore());
  sample.function = FromProto(phases.function());
  sample.as_intended = answer.start.kind() == intent.kind && answer.start.fallback_reason().empty() &&
                       (sample.container < kTakingASlot) == intent.from_slot;
  if (!sample.as_intended) {
    Say(absl::StrCat("  not as intended: ", gw::StartKind_Name(answer.start.kind()), ", container ",
                     Milliseconds(sample.container), " ms ", answer.start.fallback_reason()));
  }
  return sample;
}

// Nothing runs on the node, and as many empty slots wait there as the case wants.
absl::Status AwaitRest(Cluster& cluster, const std::string& node, bool with_slot) {
  absl::SleepFor(kGaugesAreOld);
  const bool rests = testing::Eventually(
      [&] {
        const double slots = cluster.AgentMetric(node, "thaw_agent_slots", {"state=\"empty\""});
        return cluster.AgentMetric(node, "thaw_agent_slots", {"state=\"occupied\""}) == 0 &&
               (with_slot ? slots >= 1 : slots == 0) && (with_slot || cluster.Containers(node).empty());
      },
      kReadyLimit);
  if (!rests) {
    return absl::DeadlineExceededError(absl::StrCat("node ", node, " did not come to rest; its log: ", cluster.Log(node)));
  }
  absl::SleepFor(kSettle);
  return absl::OkStatus();
}

// The node's agent starts again with nothing on its disk, and has made its slot anew.
absl::Status ForgetEverything(Cluster& cluster, const std::string& node, const std::string& function_id) {
  cluster.KillNode(node, true);
  std::error_code ignored;
  std::filesystem::remove_all(cluster.data_dir(node), ignored);
  RETURN_IF_ERROR(cluster.StartNode(node));
  if (!cluster.AwaitNode(node, thaw::common::v1::NODE_STATE_READY)) {
    return absl::UnavailableError(absl::StrCat("node ", node, " did not join again; its log: ", cluster.Log(node)));
  }
  RETURN_IF_ERROR(AwaitRest(cluster, node, true));
  // The gateway's connection to the node broke with it, and is made again by this, not by the call that is measured.
  return testing::Eventually([&] {
           grpc::ClientContext context;
           context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(5)));
           gw::ReadLogsRequest request;
           request.mutable_function()->set_id(function_id);
           const auto reader = cluster.admin().ReadLogs(&context, request);
           gw::LogLine line;
           while (reader->Read(&line)) {}
           return reader->Finish().ok();
         })
             ? absl::OkStatus()
             : absl::UnavailableError(absl::StrCat("the gateway does not reach node ", node, " again"));
}

class Starts {
 public:
  explicit Starts(const StartOptions& options) : options_(options) {}

  absl::Status Run() {
    ASSIGN_OR_RETURN(const std::string echo, testing::JavaTestImage("echo", "io.thaw.testfn.Echo::text"));
    RETURN_IF_ERROR(PlainDocker(echo));
    RETURN_IF_ERROR(WithoutSlots(echo, ""));
    RETURN_IF_ERROR(WithSlots(echo, "", true));
    if (!options_.fndemo_image.empty()) {
      RETURN_IF_ERROR(WithoutSlots(options_.fndemo_image, "-fndemo"));
      RETURN_IF_ERROR(WithSlots(options_.fndemo_image, "-fndemo", false));
    }
    return Report();
  }

 private:
  absl::Status Take(const std::string& name, bool by_thaw, int count, const TakeSample& take) {
    Say(absl::StrCat("measuring ", name, ": ", count, " samples"));
    Case measured{name, by_thaw, {}};
    // The first fills caches that no later one finds cold.
    for (int i = -1; i < count; ++i) {
      absl::StatusOr<Sample> sample = take();
      if (!sample.ok()) {
        return absl::Status(sample.status().code(), absl::StrCat(name, ": ", sample.status().message()));
      }
      if (i >= 0) measured.samples.push_back(*sample);
    }
    cases_.push_back(std::move(measured));
    return absl::OkStatus();
  }

  absl::Status PlainDocker(const std::string& image) {
    return Take("docker-run", false, options_.samples, [&]() -> absl::StatusOr<Sample> {
      DockerFunction function;
      absl::SleepFor(kSettle);
      const absl::Time begun = absl::Now();
      RETURN_IF_ERROR(function.Run(image, kMemoryMib));
      RETURN_IF_ERROR(function.AwaitFirstAnswer(kBody));
      Sample sample;
      sample.total = absl::Now() - begun;
      return sample;
    });
  }

  // A cluster that keeps no slot: each start makes its container.
  absl::Status WithoutSlots(const std::string& image, const std::string& suffix) {
    Cluster::Options options;
    options.nodes = {"a"};
    options.scheduler_flags = {"--slots-per-node=0"};
    options.agent_flags = {"--spare-slot-time=1ms"};
    ASSIGN_OR_RETURN(const auto cluster, StartCluster(options));
    ASSIGN_OR_RETURN(const std::string cold,
                     cluster->CreateFunction("cold", {.image = image, .config = {}, .memory_mib = kMemoryMib,
                                                      .idle_timeout = kIdleTimeout, .checkpoint_after = 0}));
    const int count = suffix.empty() ? options_.samples : std::min(options_.samples, kSlowSamples);
    RETURN_IF_ERROR(Take("cold" + suffix, true, count, [&]() -> absl::StatusOr<Sample> {
      RETURN_IF_ERROR(AwaitRest(*cluster, "a", false));
      return TimedInvoke(*cluster, cold, "a", {gw::START_KIND_COLD, false});
    }));
    ASSIGN_OR_RETURN(const std::string frozen, Freeze(*cluster, image));
    return Take("restored-no-slot" + suffix, true, options_.samples, [&]() -> absl::StatusOr<Sample> {
      RETURN_IF_ERROR(AwaitRest(*cluster, "a", false));
      return TimedInvoke(*cluster, frozen, "a", {gw::START_KIND_RESTORED, false});
    });
  }

  absl::Status WithSlots(const std::string& image, const std::string& suffix, bool by_hand_too) {
    Cluster::Options options;
    options.nodes = {"a", "b"};
    ASSIGN_OR_RETURN(const auto cluster, StartCluster(options));
    ASSIGN_OR_RETURN(const std::string frozen, Freeze(*cluster, image));
    RETURN_IF_ERROR(Take("restored-slot" + suffix, true, options_.samples, [&]() -> absl::StatusOr<Sample> {
      RETURN_IF_ERROR(AwaitRest(*cluster, "a", true));
      return TimedInvoke(*cluster, frozen, "a", {gw::START_KIND_RESTORED, true});
    }));
    if (by_hand_too) RETURN_IF_ERROR(ByHand(*cluster, image, frozen));
    return Take("restored-remote" + suffix, true, options_.samples, [&]() -> absl::StatusOr<Sample> {
      RETURN_IF_ERROR(ForgetEverything(*cluster, "b", frozen));
      return TimedInvoke(*cluster, frozen, "b", {gw::START_KIND_RESTORED_REMOTE, true});
    });
  }

  absl::StatusOr<std::string> Freeze(Cluster& cluster, const std::string& image) {
    ASSIGN_OR_RETURN(const std::string id,
                     cluster.CreateFunction("frozen", {.image = image, .config = {}, .memory_mib = kMemoryMib,
                                                       .idle_timeout = kIdleTimeout}));
    RETURN_IF_ERROR(cluster.MakeSnapshot(id, "a", kBody).status());
    return id;
  }

  // The snapshot that node a's agent restores from, by criu's command line.
  absl::Status ByHand(Cluster& cluster, const std::string& image, const std::string& function_id) {
    const auto snapshots = cluster.Snapshots(function_id);
    if (snapshots.empty()) return absl::NotFoundError("the snapshot is gone");
    ASSIGN_OR_RETURN(const auto manifest, ManifestOf(cluster, "a", snapshots[0].id()));
    const std::string cracdata =
        absl::StrCat(cluster.data_dir("a"), "/versions/", snapshots[0].version_id(), "/cracdata");
    ASSIGN_OR_RETURN(const std::string tools, ToolsOf(cluster, "a"));
    return Take("criu-by-hand", false, options_.samples, [&]() -> absl::StatusOr<Sample> {
      DockerFunction function;
      RETURN_IF_ERROR(function.RunIdle(image, kMemoryMib, cracdata, tools));
      absl::SleepFor(kSettle);
      const absl::Time begun = absl::Now();
      RETURN_IF_ERROR(function.RestoreByHand(manifest));
      RETURN_IF_ERROR(function.AwaitFirstAnswer(kBody));
      Sample sample;
      sample.total = absl::Now() - begun;
      return sample;
    });
  }

  absl::Duration MedianOf(const std::string& name) const {
    for (const Case& each : cases_) {
      if (each.name == name) return Percentile(Of(each, &Sample::total), 50);
    }
    return absl::ZeroDuration();
  }

  absl::Status Report() const {
    Table table({"case", "n", "p50 ms", "p95 ms", "fell back", "x of docker-run", "x of cold"});
    Table phases({"where the median goes, ms", "queue", "container", "fetch", "restore", "function", "rest"});
    nlohmann::json rows = nlohmann::json::array();
    std::size_t fell_back_in_all = 0;
    for (const Case& each : cases_) {
      const std::vector<absl::Duration> totals = Of(each, &Sample::total);
      const absl::Duration p50 = Percentile(totals, 50), p95 = Percentile(totals, 95);
      const auto fell_back = static_cast<std::size_t>(std::count_if(
          each.samples.begin(), each.samples.end(), [](const Sample& sample) { return !sample.as_intended; }));
      fell_back_in_all += fell_back;
      const bool demo = absl::string_view(each.name).find("fndemo") != absl::string_view::npos;
      const auto ratio = [p50](absl::Duration base) { return absl::StrFormat("%.3f", absl::FDivDuration(p50, base)); };
      table.Add({each.name, absl::StrCat(each.samples.size()), Milliseconds(p50), Milliseconds(p95), absl::StrCat(fell_back),
                 demo ? "-" : ratio(MedianOf("docker-run")), ratio(MedianOf(demo ? "cold-fndemo" : "cold"))});
      rows.push_back({{"case", each.name},
                      {"n", each.samples.size()},
                      {"p50_ms", JsonMilliseconds(p50)},
                      {"p95_ms", JsonMilliseconds(p95)},
                      {"fell_back", fell_back}});
      if (!each.by_thaw) continue;
      std::vector<std::string> cells = {each.name};
      std::vector<absl::Duration> rest = totals;
      for (absl::Duration Sample::* part :
           {&Sample::queue, &Sample::container, &Sample::fetch, &Sample::restore, &Sample::function}) {
        const std::vector<absl::Duration> values = Of(each, part);
        for (std::size_t i = 0; i < rest.size(); ++i) rest[i] -= values[i];
        cells.push_back(Milliseconds(Percentile(values, 50)));
      }
      cells.push_back(Milliseconds(Percentile(rest, 50)));
      phases.Add(std::move(cells));
    }
    table.Print();
    std::printf("\n");
    phases.Print();
    RETURN_IF_ERROR(WriteFile(options_.json_file, nlohmann::json{{"rows", rows}}.dump(2)));
    if (fell_back_in_all == 0) return absl::OkStatus();
    return absl::FailedPreconditionError(absl::StrCat(fell_back_in_all, " samples were not started as their case says; "
                                                                        "the figures are of something else"));
  }

  const StartOptions options_;
  std::vector<Case> cases_;
};

}  // namespace

absl::Status MeasureStarts(const StartOptions& options) { return Starts(options).Run(); }

}  // namespace thaw::bench
