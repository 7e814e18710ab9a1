#include "cli/demo/demo.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/exit_code.h"
#include "cli/output/format.h"
#include "cli/output/wire.h"
#include "common/ids/ids.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::cli {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(250);
constexpr absl::Duration kCallLimit = absl::Seconds(60);
// The demo's promises.
constexpr absl::Duration kColdAtLeast = absl::Seconds(5);
constexpr absl::Duration kAnswerAfterLoss = absl::Seconds(5);
constexpr int kCallsBeforeFreeze = 5;

// Ends the steps after a claim that the rest stands on has failed; the report says which.
absl::Status GiveUp() {
  return WithReason(absl::InternalError("a claim failed"), local_reason::kClaimFailed);
}

std::string Millis(absl::Duration duration) { return absl::StrCat(FormatMillis(duration), " ms"); }

std::string Describe(const DemoCall& call) {
  return absl::StrCat(
      "call ", call.index, " was ", call.start, " on node ", call.node, " in ", Millis(call.total),
      ", token ", call.token.substr(0, 8), ", calls ", call.calls_answered,
      call.fallback_reason.empty() ? "" : absl::StrCat(", fell back: ", call.fallback_reason));
}

}  // namespace

absl::StatusOr<DemoAnswer> ParseDemoAnswer(const std::string& body) {
  const auto json = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("token") || !json["token"].is_string() || !json.contains("calls") ||
      !json["calls"].is_number_integer()) {
    return absl::InvalidArgumentError(absl::StrCat("the demo function answered `", body.substr(0, 200),
                                                   "` instead of JSON with token and calls"));
  }
  return DemoAnswer{json["token"].get<std::string>(), json["calls"].get<std::int64_t>()};
}

absl::Status DemoStatus(const DemoReport& report) {
  if (report.ok()) return absl::OkStatus();
  std::vector<std::string> failed;
  for (const DemoCheck& check : report.checks) {
    if (!check.ok) failed.push_back(absl::StrCat(check.name, " (", check.detail, ")"));
  }
  return WithReason(
      absl::InternalError(absl::StrCat("the demo's claim did not hold: ", absl::StrJoin(failed, "; "))),
      local_reason::kClaimFailed);
}

absl::Status Demo::Run() {
  app_name_ = absl::StrCat("thaw-demo-", NewHexId(4));
  absl::Status status = CheckCluster();
  if (!status.ok()) return status;
  status = Steps();
  if (status.ok()) CheckSpeed();
  if (!status.ok())
    deps_.progress.Failed(ReasonOf(status) == local_reason::kClaimFailed ? "" : status.message());
  CleanUp();
  if (ReasonOf(status) == local_reason::kClaimFailed) return absl::OkStatus();
  return status;
}

absl::Status Demo::Steps() {
  RETURN_IF_ERROR(StepDeploy());
  RETURN_IF_ERROR(StepColdAndWarm());
  RETURN_IF_ERROR(StepSnapshot());
  RETURN_IF_ERROR(StepRestoredHere());
  RETURN_IF_ERROR(StepRestoredElsewhere());
  return StepNodeLoss();
}

absl::Status Demo::CheckCluster() {
  ASSIGN_OR_RETURN(const gatewaypb::ServerInfo server, deps_.client.GetServerInfo());
  if (!server.node_pinning()) {
    return WithReason(
        absl::FailedPreconditionError("the demo pins calls to nodes, which this gateway does not allow"),
        reason::kNodePinningForbidden);
  }
  for (const std::string& node : {options_.node_a, options_.node_b, options_.node_c}) {
    if (options_.metrics.count(node) == 0) {
      return absl::InvalidArgumentError(absl::StrCat("no metrics address for node ", node,
                                                     "; give it with --metrics ", node, "=HOST:PORT"));
    }
  }
  deps_.progress.Start("the cluster's three nodes");
  const auto ready = WaitUntil(options_.node_limit, [this](std::string& missing) -> absl::StatusOr<bool> {
    for (const std::string& id : {options_.node_a, options_.node_b, options_.node_c}) {
      const auto node = GetNode(id);
      if (!node.ok() && node.status().code() != absl::StatusCode::kNotFound) return node.status();
      if (!node.ok() || node->state() != commonpb::NODE_STATE_READY) {
        missing = absl::StrCat("waiting for node ", id,
                               node.ok() ? ", which is " + NodeStateWord(node->state()) : "");
        return false;
      }
      if (id == options_.node_a) instances_before_ = node->instances();
    }
    return true;
  });
  if (!ready.ok() || !*ready) deps_.progress.Failed("");
  RETURN_IF_ERROR(ready.status());
  if (!*ready) {
    return WithReason(absl::FailedPreconditionError(absl::StrCat(
                          "the demo needs the nodes ", options_.node_a, ", ", options_.node_b, " and ",
                          options_.node_c, " ready; name others with --node-a, --node-b and --node-c")),
                      reason::kNoNodeReady);
  }
  for (const std::string& node : {options_.node_a, options_.node_b, options_.node_c}) {
    ASSIGN_OR_RETURN(counters_before_[node], Scrape(node));
  }
  deps_.progress.Done("ready");
  return absl::OkStatus();
}

absl::Status Demo::StepDeploy() {
  deps_.progress.Note("Step 1 of 6: deploy a fresh function and bring its image to every node");
  DeployRequest request;
  request.directory = options_.source;
  request.app = app_name_;
  request.name = "fndemo";
  request.idle_timeout_s = static_cast<std::uint32_t>(absl::ToInt64Seconds(options_.idle_timeout));
  request.checkpoint.emplace();
  request.checkpoint->set_mode(commonpb::CheckpointPolicy::MODE_AFTER_INVOCATIONS);
  request.checkpoint->set_after_invocations(kCallsBeforeFreeze);
  ASSIGN_OR_RETURN(const DeployResult deployed, deps_.deploy(request));
  function_ = deployed.function;

  deps_.progress.Start("the image on every node");
  std::vector<std::string> holders;
  ASSIGN_OR_RETURN(const bool everywhere,
                   WaitUntil(options_.image_limit, [&](std::string& missing) -> absl::StatusOr<bool> {
                     ASSIGN_OR_RETURN(holders, deps_.client.FindImage(function_.image_id()));
                     for (const std::string& node : {options_.node_a, options_.node_b, options_.node_c}) {
                       if (std::find(holders.begin(), holders.end(), node) == holders.end()) {
                         missing = absl::StrCat("waiting for node ", node);
                         return false;
                       }
                     }
                     return true;
                   }));
  std::sort(holders.begin(), holders.end());
  Check("image_on_every_node", everywhere,
        absl::StrCat(ShortId(function_.image_id()), " is on: ", absl::StrJoin(holders, ", ")));
  if (!everywhere) return GiveUp();
  deps_.progress.Done(absl::StrJoin(holders, ", "));
  return absl::OkStatus();
}

absl::Status Demo::StepColdAndWarm() {
  deps_.progress.Note(absl::StrCat("Step 2 of 6: call it five times on node ", options_.node_a));
  deps_.progress.Start("first call, cold");
  ASSIGN_OR_RETURN(const DemoCall cold, Call("cold", options_.node_a));
  token_ = cold.token;
  Check("first_call_cold", cold.start == "cold" && cold.node == options_.node_a && cold.calls_answered == 1,
        Describe(cold));
  Check("first_call_over_five_seconds", cold.total > kColdAtLeast,
        absl::StrCat("it took ", Millis(cold.total)));
  deps_.progress.Done(Millis(cold.total));

  deps_.progress.Start("calls two to five, warm");
  bool all_warm = true;
  std::vector<std::string> times;
  std::string wrong;
  for (int i = 2; i <= kCallsBeforeFreeze; ++i) {
    ASSIGN_OR_RETURN(const DemoCall call, Call("warm", options_.node_a));
    const bool good = call.start == "warm" && call.node == options_.node_a && call.token == token_ &&
                      call.calls_answered == i;
    if (!good && wrong.empty()) wrong = Describe(call);
    all_warm = all_warm && good;
    times.push_back(FormatMillis(call.total));
  }
  const std::string summary = absl::StrCat(absl::StrJoin(times, ", "), " ms");
  Check("calls_two_to_five_warm", all_warm, all_warm ? summary : wrong);
  deps_.progress.Done(summary);
  return absl::OkStatus();
}

absl::Status Demo::StepSnapshot() {
  deps_.progress.Note("Step 3 of 6: it is frozen after its fifth call");
  deps_.progress.Start("the snapshot");
  ASSIGN_OR_RETURN(const bool listed,
                   WaitUntil(options_.snapshot_limit, [this](std::string& missing) -> absl::StatusOr<bool> {
                     ASSIGN_OR_RETURN(const auto snapshots, deps_.client.ListSnapshots(function_.id()));
                     missing = "waiting for it to be dumped, tried and published";
                     if (snapshots.empty()) return false;
                     report_.snapshot = snapshots.front();
                     return true;
                   }));
  if (!listed) {
    Check("snapshot_published", false,
          absl::StrCat("no snapshot was listed within ", absl::FormatDuration(options_.snapshot_limit),
                       " of the fifth call"));
    return GiveUp();
  }
  const auto& snapshot = *report_.snapshot;
  Check("snapshot_published",
        snapshot.node_id() == options_.node_a && snapshot.raw_bytes() > 0 && snapshot.stored_bytes() > 0 &&
            snapshot.invocations() == kCallsBeforeFreeze && snapshot.version_id() == function_.version_id(),
        absl::StrCat(ShortId(snapshot.id()), " of node ", snapshot.node_id(), ", ",
                     FormatBytes(snapshot.raw_bytes()), " stored in ", FormatBytes(snapshot.stored_bytes()),
                     ", after ", snapshot.invocations(), " calls, version ", ShortId(snapshot.version_id())));
  deps_.progress.Done(
      absl::StrCat(FormatBytes(snapshot.raw_bytes()), ", stored in ", FormatBytes(snapshot.stored_bytes())));

  deps_.progress.Start("a slot on every node");
  std::string slots;
  ASSIGN_OR_RETURN(const bool prepared,
                   WaitUntil(options_.slot_limit, [&](std::string& missing) -> absl::StatusOr<bool> {
                     slots.clear();
                     bool all = true;
                     for (const std::string& id : {options_.node_b, options_.node_c}) {
                       ASSIGN_OR_RETURN(const commonpb::Node node, GetNode(id));
                       absl::StrAppend(&slots, slots.empty() ? "" : ", ", id, " has ", node.slots());
                       all = all && node.slots() > 0;
                     }
                     missing = slots;
                     return all;
                   }));
  Check("slots_prepared", prepared, slots);
  if (prepared) {
    deps_.progress.Done(slots);
  } else {
    deps_.progress.Failed(slots);
  }
  return absl::OkStatus();
}

absl::Status Demo::StepRestoredHere() {
  deps_.progress.Note(
      absl::StrCat("Step 4 of 6: the idle instance goes; node ", options_.node_a, " thaws it"));
  deps_.progress.Start("the end of the idle instance");
  std::uint32_t instances = 0;
  ASSIGN_OR_RETURN(const bool gone,
                   WaitUntil(options_.idle_timeout + options_.idle_limit,
                             [&](std::string& missing) -> absl::StatusOr<bool> {
                               ASSIGN_OR_RETURN(const commonpb::Node node, GetNode(options_.node_a));
                               instances = node.instances();
                               missing = absl::StrCat("node ", options_.node_a, " has ", instances,
                                                      instances == 1 ? " instance" : " instances");
                               return instances <= instances_before_ &&
                                      deps_.clock.Now() - last_call_ >= options_.idle_timeout;
                             }));
  Check("idle_instance_ended", gone,
        absl::StrCat("node ", options_.node_a, " has ", instances, " instances, and had ", instances_before_,
                     " before the demo"));
  if (!gone) return GiveUp();
  deps_.progress.Done(
      absl::StrCat(FormatShortDuration(deps_.clock.Now() - last_call_), " after its last call"));

  deps_.progress.Start(absl::StrCat("the next call on node ", options_.node_a));
  ASSIGN_OR_RETURN(const DemoCall call, Call("restored_same_node", options_.node_a));
  CheckRestored(call, options_.node_a, "restored", "on_a");
  deps_.progress.Done(absl::StrCat(call.start, ", ", Millis(call.total)));
  // Before A is killed, which resets its counters.
  CheckAnswered(options_.node_a, counters_before_[options_.node_a],
                {{"cold", 1}, {"warm", kCallsBeforeFreeze - 1}, {"restored", 1}}, "metrics_agree_on_a");
  return absl::OkStatus();
}

absl::Status Demo::StepRestoredElsewhere() {
  deps_.progress.Note(absl::StrCat("Step 5 of 6: node ", options_.node_b, ", which never ran it, thaws it"));
  deps_.progress.Start(absl::StrCat("a call on node ", options_.node_b));
  ASSIGN_OR_RETURN(const commonpb::SnapshotInfo snapshot, deps_.client.GetSnapshot(report_.snapshot->id()));
  const bool held = std::find(snapshot.holders().begin(), snapshot.holders().end(), options_.node_b) !=
                    snapshot.holders().end();
  Check("b_had_no_snapshot", !held,
        absl::StrCat("its holders were: ", absl::StrJoin(snapshot.holders(), ", ")));
  ASSIGN_OR_RETURN(const Counters before, Scrape(options_.node_b));
  ASSIGN_OR_RETURN(const Counters a_before, Scrape(options_.node_a));
  ASSIGN_OR_RETURN(const DemoCall call, Call("restored_other_node", options_.node_b));
  CheckRestored(call, options_.node_b, "restored-remote", "on_b");
  CheckReceived(options_.node_b, before, options_.node_a, a_before, "b_received_the_chunks");
  CheckAnswered(options_.node_b, before, {{"restored-remote", 1}}, "metrics_agree_on_b");
  deps_.progress.Done(absl::StrCat(call.start, ", ", Millis(call.total)));
  return absl::OkStatus();
}

absl::Status Demo::StepNodeLoss() {
  deps_.progress.Note(absl::StrCat("Step 6 of 6: node ", options_.node_a, " is killed"));
  deps_.progress.Start(absl::StrCat("killing node ", options_.node_a, " and its function containers"));
  ASSIGN_OR_RETURN(const Counters before, Scrape(options_.node_c));
  ASSIGN_OR_RETURN(const Counters b_before, Scrape(options_.node_b));
  // First, so that whatever of it the kill got done is put right.
  a_killed_ = true;
  RETURN_IF_ERROR(deps_.nodes.Kill(options_.node_a));
  deps_.progress.Done("");

  deps_.progress.Start("the first call after that");
  ASSIGN_OR_RETURN(const DemoCall first, Call("after_node_loss", ""));
  Check("answered_after_node_loss",
        first.seen <= kAnswerAfterLoss && first.node != options_.node_a && first.token == token_ &&
            first.calls_answered > kCallsBeforeFreeze,
        absl::StrCat("answered after ", Millis(first.seen), "; ", Describe(first)));
  deps_.progress.Done(absl::StrCat(first.start, " on node ", first.node, ", ", Millis(first.seen)));

  deps_.progress.Start(absl::StrCat("a call on node ", options_.node_c));
  ASSIGN_OR_RETURN(const DemoCall second, Call("after_node_loss", options_.node_c));
  CheckRestored(second, options_.node_c, "restored-remote", "on_c");
  CheckReceived(options_.node_c, before, options_.node_b, b_before, "c_received_the_chunks");
  CheckAnswered(options_.node_c, before, {{"restored-remote", 1}}, "metrics_agree_on_c");
  deps_.progress.Done(absl::StrCat(second.start, ", ", Millis(second.total)));
  return absl::OkStatus();
}

void Demo::CheckSpeed() {
  const absl::Duration tenth = report_.calls.front().total / 10;
  absl::Duration slowest;
  bool any = false;
  for (const DemoCall& call : report_.calls) {
    // The first call after the loss also finds out that node A is gone; it has a limit of its own.
    if (call.step != "restored_same_node" && call.step != "restored_other_node") continue;
    if (call.start != "restored" && call.start != "restored-remote") continue;
    any = true;
    slowest = std::max(slowest, call.total);
  }
  Check("restored_under_a_tenth", any && slowest < tenth,
        any ? absl::StrCat("the slowest restored call took ", Millis(slowest),
                           ", a tenth of the cold one is ", Millis(tenth))
            : std::string("no call was restored"));
}

void Demo::CleanUp() {
  deps_.interrupt.BeginCleanup();
  if (a_killed_) {
    deps_.progress.Start(absl::StrCat("bringing node ", options_.node_a, " back"));
    absl::Status started = deps_.nodes.Start(options_.node_a);
    std::string state = "unknown";
    if (started.ok()) {
      const auto ready = WaitUntil(options_.node_limit, [&](std::string& missing) -> absl::StatusOr<bool> {
        const auto node = GetNode(options_.node_a);
        state = node.ok() ? NodeStateWord(node->state()) : std::string(node.status().message());
        missing = absl::StrCat("it is ", state);
        return node.ok() && node->state() == commonpb::NODE_STATE_READY;
      });
      if (!ready.ok()) started = ready.status();
    }
    const bool back = started.ok() && state == "ready";
    Check("node_a_back", back,
          started.ok() ? absl::StrCat("node ", options_.node_a, " is ", state)
                       : std::string(started.message()));
    if (back) {
      deps_.progress.Done("ready");
    } else {
      deps_.progress.Failed(state);
    }
  }
  if (options_.keep) {
    deps_.progress.Note(absl::StrCat("Kept: ", app_name_, "/fndemo. Remove it with `thaw apps delete ",
                                     app_name_, " --recursive`"));
    return;
  }
  deps_.progress.Start("removing the demo's app, function and image");
  std::vector<std::string> left;
  commonpb::GetAppRequest get_app;
  get_app.set_name(app_name_);
  const auto app = deps_.client.GetApp(get_app);
  if (app.ok()) {
    if (!function_.id().empty()) {
      const absl::Status deleted = deps_.client.DeleteFunction(function_.id());
      if (!deleted.ok() && deleted.code() != absl::StatusCode::kNotFound) {
        left.push_back(absl::StrCat("the function: ", deleted.message()));
      }
    }
    const absl::Status deleted = deps_.client.DeleteApp(app->id());
    if (!deleted.ok()) left.push_back(absl::StrCat("app ", app_name_, ": ", deleted.message()));
  } else if (app.status().code() != absl::StatusCode::kNotFound) {
    left.push_back(absl::StrCat("app ", app_name_, ": ", app.status().message()));
  }
  // The slots made from the image go a moment after the function.
  absl::Status removed;
  const auto image_gone = WaitUntil(absl::Seconds(30), [&](std::string& missing) -> absl::StatusOr<bool> {
    removed = deps_.remove_images(app_name_);
    missing = std::string(removed.message());
    return removed.ok();
  });
  if (!image_gone.ok() || !*image_gone) left.push_back(absl::StrCat("the image: ", removed.message()));
  Check("cleaned_up", left.empty(),
        left.empty() ? absl::StrCat(app_name_, " and its image are gone")
                     : absl::StrCat("left: ", absl::StrJoin(left, "; ")));
  if (left.empty()) {
    deps_.progress.Done("");
  } else {
    deps_.progress.Failed(left.front());
  }
}

absl::StatusOr<DemoCall> Demo::Call(const std::string& step, const std::string& node) {
  RETURN_IF_ERROR(deps_.interrupt.Check());
  DemoCall call;
  call.index = static_cast<int>(report_.calls.size()) + 1;
  call.step = step;
  gatewaypb::InvokeRequest request;
  request.mutable_function()->set_id(function_.id());
  request.set_body("thaw");
  request.set_content_type("text/plain");
  const absl::Time before = deps_.clock.Now();
  const auto answer = deps_.client.Invoke(request, {.node = node, .timeout = kCallLimit});
  last_call_ = deps_.clock.Now();
  call.seen = last_call_ - before;
  if (answer.status().code() == absl::StatusCode::kCancelled) return answer.status();
  const std::string name = absl::StrCat("call_", call.index, "_answered");
  if (!answer.ok()) {
    const std::string why = ReasonOf(answer.status());
    Check(name, false,
          absl::StrCat("step ", step, node.empty() ? "" : absl::StrCat(" on node ", node), ": ",
                       absl::StatusCodeToString(answer.status().code()), why.empty() ? "" : " " + why, ": ",
                       answer.status().message()));
    return GiveUp();
  }
  call.node = answer->start().node_id();
  call.start = StartKindWord(answer->start().kind());
  call.total = DurationOf(answer->start().total());
  call.phases = answer->start().phases();
  call.fallback_reason = answer->start().fallback_reason();
  const auto parsed = ParseDemoAnswer(answer->body());
  if (parsed.ok()) {
    call.token = parsed->token;
    call.calls_answered = parsed->calls;
  }
  report_.calls.push_back(call);
  if (!parsed.ok()) {
    Check(name, false, std::string(parsed.status().message()));
    return GiveUp();
  }
  return call;
}

void Demo::CheckRestored(const DemoCall& call, const std::string& node, const std::string& kind,
                         const std::string& suffix) {
  Check(absl::StrCat("restored_", suffix), call.start == kind && call.node == node, Describe(call));
  Check(absl::StrCat("frozen_state_", suffix),
        call.token == token_ && call.calls_answered == kCallsBeforeFreeze + 1,
        absl::StrCat("token ", call.token.substr(0, 8), ", calls ", call.calls_answered, "; frozen was ",
                     token_.substr(0, 8), " after ", kCallsBeforeFreeze));
}

void Demo::Check(const std::string& name, bool ok, const std::string& detail) {
  report_.checks.push_back({name, ok, detail});
  if (!ok) deps_.progress.Note(absl::StrCat("claim failed: ", name, ": ", detail));
}

absl::StatusOr<bool> Demo::WaitUntil(absl::Duration limit,
                                     const std::function<absl::StatusOr<bool>(std::string&)>& done) {
  const absl::Time deadline = deps_.clock.Now() + limit;
  while (true) {
    std::string missing;
    ASSIGN_OR_RETURN(const bool is_done, done(missing));
    if (is_done) return true;
    if (deps_.clock.Now() >= deadline) return false;
    deps_.progress.Detail(missing);
    if (!deps_.interrupt.Sleep(kPoll)) return absl::CancelledError("interrupted");
  }
}

absl::StatusOr<commonpb::Node> Demo::GetNode(const std::string& id) {
  ASSIGN_OR_RETURN(const std::vector<commonpb::Node> nodes, deps_.client.ListNodes());
  for (const commonpb::Node& node : nodes) {
    if (node.id() == id) return node;
  }
  return WithReason(absl::NotFoundError(absl::StrCat("the cluster has no node ", id)), reason::kNodeNotFound);
}

absl::StatusOr<Demo::Counters> Demo::Scrape(const std::string& node) {
  ASSIGN_OR_RETURN(const std::string page, deps_.metrics.Scrape(options_.metrics.at(node)));
  Counters counters;
  // Images travel in the same way; the claims are about snapshots.
  const auto of_snapshots = [&page](absl::string_view name) {
    double sum = 0;
    for (const MetricSample& sample : SamplesOf(page, name)) {
      const auto kind = sample.labels.find("kind");
      if (kind != sample.labels.end() && kind->second == "snapshot") sum += sample.value;
    }
    return sum;
  };
  counters.received_bytes = of_snapshots("thaw_agent_transfer_received_bytes_total");
  counters.sent_bytes = of_snapshots("thaw_agent_transfer_sent_bytes_total");
  for (const MetricSample& sample : SamplesOf(page, "thaw_agent_invocations_total")) {
    const auto start = sample.labels.find("start");
    const auto outcome = sample.labels.find("outcome");
    if (start != sample.labels.end() && outcome != sample.labels.end() && outcome->second == "ok") {
      counters.answered[start->second] += sample.value;
    }
  }
  return counters;
}

void Demo::CheckReceived(const std::string& node, const Counters& before, const std::string& from,
                         const Counters& from_before, const std::string& name) {
  const auto now = Scrape(node);
  const auto from_now = Scrape(from);
  if (!now.ok() || !from_now.ok()) {
    Check(name, false, std::string((now.ok() ? from_now.status() : now.status()).message()));
    return;
  }
  const double received = now->received_bytes - before.received_bytes;
  const double sent = from_now->sent_bytes - from_before.sent_bytes;
  // Chunks that the node had from other snapshots were not missing, so it may be less than the whole.
  const bool agrees =
      received > 0 && received <= static_cast<double>(report_.snapshot->stored_bytes()) && sent >= received;
  const auto bytes = [](double value) {
    return FormatBytes(static_cast<std::uint64_t>(std::max(0.0, value)));
  };
  Check(name, agrees,
        absl::StrCat("node ", node, " received ", bytes(received), " of the snapshot's ",
                     FormatBytes(report_.snapshot->stored_bytes()), "; node ", from, " sent ", bytes(sent)));
}

void Demo::CheckAnswered(const std::string& node, const Counters& before,
                         const std::map<std::string, int>& expected, const std::string& name) {
  const auto now = Scrape(node);
  if (!now.ok()) {
    Check(name, false, std::string(now.status().message()));
    return;
  }
  bool agrees = true;
  std::vector<std::string> parts;
  for (const auto& [start, count] : expected) {
    const auto value = [&start = start](const Counters& counters) {
      const auto it = counters.answered.find(start);
      return it == counters.answered.end() ? 0.0 : it->second;
    };
    const double grown = value(*now) - value(before);
    // Other functions of the cluster may be called meanwhile: more is fine, less is not.
    agrees = agrees && grown + 0.5 > count;
    parts.push_back(absl::StrCat(start, " +", grown, " (the demo's: ", count, ")"));
  }
  Check(name, agrees, absl::StrCat("calls that node ", node, " counted: ", absl::StrJoin(parts, ", ")));
}

}  // namespace thaw::cli
