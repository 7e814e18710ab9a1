// The part of Slot that has to do with random numbers (docs/uniqueness.md).
#include <nlohmann/json.hpp>
#include <utility>

#include "agent/init/child_process.h"
#include "agent/init/go_random.h"
#include "agent/init/slot.h"
#include "agent/init/unique_shim.h"

namespace thaw::init {
namespace {

using Json = nlohmann::json;

// An interpreter that is at work gives its lock away within milliseconds.
constexpr int64_t kShimLimitMs = 3000;
// A JVM walks its heap: a few seconds for the largest that a function can have.
constexpr int64_t kPrepareLimitMs = 10000;
constexpr std::chrono::milliseconds kShimPollInterval{1};
// More never overlap: a checkpoint's and a few people's.
constexpr size_t kMostWaitingOrders = 16;

}  // namespace

void Slot::AskShims(ShimRequest request, CureSet without, ShimsAnswered done) {
  std::vector<Shim> shims = FindShims(FunctionPids());
  if (shims.empty()) return done({}, {});
  const int64_t limit_ms = request == ShimRequest::kPrepare ? kPrepareLimitMs : kShimLimitMs;
  shim_wait_ = std::make_unique<ShimWait>(
      ShimWait{ShimRound(std::move(shims), request, without), MonotonicMs() + static_cast<double>(limit_ms), 0, std::move(done)});
  shim_wait_->timer = loop_.After(kShimPollInterval, [this] { PollShims(); });
}

void Slot::PollShims() {
  if (shim_wait_->round.Done()) return EndShimWait({});
  if (MonotonicMs() < shim_wait_->limit_ms) {
    shim_wait_->timer = loop_.After(kShimPollInterval, [this] { PollShims(); });
    return;
  }
  EndShimWait(Outcome(Code::kFailedPrecondition, "process " + shim_wait_->round.Pending() +
                                                     " has not seen to its random numbers in time; was it "
                                                     "stopped, or has it a lock that it does not give away?"));
}

void Slot::EndShimWait(const Outcome& outcome) {
  const std::unique_ptr<ShimWait> wait = std::move(shim_wait_);
  loop_.Cancel(wait->timer);
  wait->done(outcome, wait->round.shims());
  for (const std::function<void()>& order : std::exchange(after_shim_wait_, {})) order();
}

bool Slot::AfterShimWait(std::function<void()> order) {
  if (after_shim_wait_.size() >= kMostWaitingOrders) return false;
  after_shim_wait_.push_back(std::move(order));
  return true;
}

void Slot::DoRandomness(uint64_t peer, uint64_t id) {
  const bool running = state_ == State::kRunning && !ending_;
  if (running && shim_wait_ && AfterShimWait([this, peer, id] { DoRandomness(peer, id); })) return;
  if (!running || shim_wait_) {
    return AnswerError(peer, id, Outcome(Code::kFailedPrecondition, "no function runs in this slot, or it is being dumped or "
                                                                    "killed, so its random numbers can't be looked at"));
  }
  AskShims(ShimRequest::kLook, {}, [this, peer, id](const Outcome& outcome, const std::vector<Shim>& shims) {
    if (!outcome.ok()) return AnswerError(peer, id, outcome);
    if (!function_) return AnswerError(peer, id, Outcome(Code::kAborted, "the function was killed meanwhile"));
    Json processes = Json::array();
    for (pid_t pid : FunctionPids()) {
      const ProcessFacts facts = random_facts_.Of(pid);
      Json process = {{"pid", pid},
                      {"program", facts.program},
                      {"static", facts.is_static},
                      {"go", facts.go_version},
                      {"go_generators", 0},
                      {"openssl", facts.has_openssl},
                      {"python", facts.has_python},
                      {"node", facts.has_node},
                      {"java", facts.has_java},
                      {"hidden_openssl", facts.hidden_openssl},
                      {"unreachable", facts.unreachable},
                      {"shim", ""}};
      for (const Shim& shim : shims) {
        if (shim.pid == pid) process["shim"] = shim.letters;
      }
      if (!facts.go_version.empty()) {
        std::vector<uint64_t> addresses;
        if (FindGoStatesOf(pid, &addresses).ok()) process["go_generators"] = addresses.size();
      }
      processes.push_back(std::move(process));
    }
    AnswerOk(peer, id, {{"processes", std::move(processes)}});
  });
}

}  // namespace thaw::init
