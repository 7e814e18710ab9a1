// The part of Slot that looks for what would break a dump, and takes it out of the way.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "agent/init/child_process.h"
#include "agent/init/obstacles/descriptor_actions.h"
#include "agent/init/obstacles/find_obstacles.h"
#include "agent/init/obstacles/injector.h"
#include "agent/init/slot.h"

namespace thaw::init {
namespace {

constexpr int kStopLimitMs = 2000;

constexpr int kCloseTries = 20;
constexpr useconds_t kClosePauseMicroseconds = 5000;

bool AllUnix(const std::vector<Finding>& findings) {
  return std::all_of(findings.begin(), findings.end(), [](const Finding& f) { return f.kind == Obstacle::kUnix; });
}

double Rounded(double ms) { return std::round(ms * 100) / 100; }

}  // namespace

SystemView Slot::View() const {
  return ReadSystemView(FunctionPids(), {function_->out->pipe_name(), function_->err->pipe_name()}, criu_version_);
}

void Slot::DoLook(uint64_t peer, uint64_t id) {
  if (state_ != State::kRunning || ending_) {
    return AnswerError(peer, id, Outcome(Code::kFailedPrecondition,
                                         "nothing to look at: no function runs in this slot, or it is being dumped or killed"));
  }
  const double begun = MonotonicMs();
  // A function that waits for its marker has closed its listener: what is connected to it now would break the dump.
  const Serving serving = awaited_marker_.empty() ? Serving::kYes : Serving::kNo;
  const std::vector<Finding> findings = FindObstacles(View(), serving);
  AnswerOk(peer, id, {{"findings", ToJson(findings)}, {"look_ms", Rounded(MonotonicMs() - begun)}});
}

Slot::Cleared Slot::ClearForDump(const DumpOrder& order, const std::string& images) {
  Cleared cleared;
  const bool takes = std::any_of(order.actions.begin(), order.actions.end(),
                                 [](const DescriptorAction& action) { return action.action != Action::kIgnore; });
  if (!order.check && !takes) return cleared;
  const double begun = MonotonicMs();
  if (takes) {
    cleared.outcome = StopProcesses(FunctionPids(), kStopLimitMs, &cleared.undoing.stopped);
    if (!cleared.outcome.ok()) return cleared;
  }
  SystemView view = View();
  std::vector<Finding> findings = FindObstacles(view, Serving::kNo);
  // The agent has just closed its connection, and the function may not have closed its end yet.
  for (int tries = 0; tries < kCloseTries && !takes && !findings.empty() && AllUnix(findings); ++tries) {
    ::usleep(kClosePauseMicroseconds);
    view = View();
    findings = FindObstacles(view, Serving::kNo);
  }
  std::vector<Finding> blocking;
  for (const Finding& finding : findings) {
    const bool decided = std::any_of(order.actions.begin(), order.actions.end(),
                                     [&](const DescriptorAction& action) { return action.Fits(finding); });
    if (!decided) blocking.push_back(finding);
  }
  if (order.check && !blocking.empty()) {
    const Finding& first = blocking[0];
    std::string message = std::string("found before the dump: ") + ObstacleName(first.kind) + " " + first.what;
    if (first.fd >= 0) message += " (descriptor " + std::to_string(first.fd) + ")";
    if (blocking.size() > 1) message += " and " + std::to_string(blocking.size() - 1) + " more";
    if (!first.remedy.empty()) message += "; " + first.remedy;
    cleared.outcome = Outcome(Code::kFailedPrecondition, message);
    cleared.findings = std::move(blocking);
  } else if (takes) {
    cleared.outcome = TakeAway(view, findings, order.actions, &cleared.undoing.reopen);
    if (cleared.outcome.ok()) cleared.outcome = WriteUndoing(images, cleared.undoing);
  }
  cleared.look_ms = Rounded(MonotonicMs() - begun);
  if (!cleared.outcome.ok()) {
    if (Outcome undone = Undo(cleared.undoing); !undone.ok()) Log(undone.message());
  }
  return cleared;
}

Outcome Slot::Undo(const Undoing& undoing) {
  if (undoing.stopped.empty() && undoing.reopen.empty()) return {};
  Outcome outcome = AwaitStopped(undoing.stopped, kStopLimitMs);
  if (outcome.ok()) outcome = OpenAgain(undoing.reopen);
  ContinueProcesses(undoing.stopped);
  return outcome;
}

}  // namespace thaw::init
