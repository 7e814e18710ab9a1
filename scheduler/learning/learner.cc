#include "scheduler/learning/learner.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/rpc/client.h"

namespace thaw::scheduler {
namespace {

using common::v1::SnapshotExperience;

std::string Millis(double seconds) { return absl::StrFormat("%.1f ms", seconds * 1000); }

std::string Percent(double share) { return absl::StrFormat("%.0f %%", share * 100); }

std::string AfterCalls(std::size_t arm) { return absl::StrCat("after ", kArms[arm], kArms[arm] == 1 ? " call" : " calls"); }

bool IsActive(const SnapshotExperience& experience) { return experience.role() != SnapshotExperience::ROLE_REJECTED; }

}  // namespace

double Learner::Candidate::mean() const { return absl::ToDoubleSeconds(FromProto(experience.mean_cost())); }
double Learner::Candidate::deviation() const { return absl::ToDoubleSeconds(FromProto(experience.deviation())); }
double Learner::Candidate::variance() const {
  const double deviation_s = deviation();
  return deviation_s * deviation_s / static_cast<double>(std::max<std::uint64_t>(experience.restores(), 1));
}

Learner::Learner(const std::vector<common::v1::SnapshotInfo>& snapshots) {
  for (const auto& snapshot : snapshots) {
    const auto arm = ArmOf(snapshot.invocations());
    // One that a person made before any call, and so chose, ends the comparison as any other.
    if (!arm.has_value() && snapshot.experience().role() != SnapshotExperience::ROLE_CHOSEN) continue;
    Candidate candidate{snapshot.id(), arm.value_or(0), snapshot.experience()};
    if (candidate.experience.role() == SnapshotExperience::ROLE_UNSPECIFIED) {
      candidate.experience.set_role(SnapshotExperience::ROLE_CANDIDATE);
    }
    candidates_.push_back(std::move(candidate));
  }
  std::sort(candidates_.begin(), candidates_.end(),
            [](const Candidate& a, const Candidate& b) { return std::pair(a.arm, a.id) < std::pair(b.arm, b.id); });
  SayBeliefs();
}

bool Learner::settled() const {
  return std::any_of(candidates_.begin(), candidates_.end(),
                     [](const Candidate& c) { return c.experience.role() == SnapshotExperience::ROLE_CHOSEN; });
}

bool Learner::Wants(std::uint64_t answered) const {
  const auto arm = ArmOf(answered);
  if (!arm.has_value() || settled()) return false;
  return std::none_of(candidates_.begin(), candidates_.end(), [&](const Candidate& c) { return c.arm == *arm; });
}

std::vector<std::uint32_t> Learner::FreezeAfter() const {
  std::vector<std::uint32_t> wanted;
  for (const std::uint32_t after : kArms) {
    if (Wants(after)) wanted.push_back(after);
  }
  return wanted;
}

std::vector<Learner::Share> Learner::Shares(const std::vector<std::string>& usable) const {
  const auto is_usable = [&](const Candidate& c) { return std::find(usable.begin(), usable.end(), c.id) != usable.end(); };
  std::vector<Share> shares;
  for (const Candidate& candidate : candidates_) {
    if (candidate.experience.role() != SnapshotExperience::ROLE_CHOSEN || !is_usable(candidate)) continue;
    shares.push_back({candidate.id, 1000});
    return shares;
  }
  for (const Candidate& candidate : candidates_) {
    if (IsActive(candidate.experience) && is_usable(candidate)) shares.push_back({candidate.id, 0});
  }
  if (shares.empty()) {
    for (const Candidate& candidate : candidates_) {
      if (is_usable(candidate)) shares.push_back({candidate.id, 0});
    }
  }
  for (std::size_t i = 0; i < shares.size(); ++i) {
    shares[i].thousandths = static_cast<std::uint32_t>(1000 * (i + 1) / shares.size() - 1000 * i / shares.size());
  }
  return shares;
}

void Learner::OnCandidate(absl::string_view snapshot_id) {
  if (settled()) return;
  for (Candidate& candidate : candidates_) {
    if (candidate.id == snapshot_id) continue;
    candidate.experience.set_restores(std::min(candidate.experience.restores(), kKeptOnNews));
  }
  SayBeliefs();
}

absl::Duration Learner::CostOf(absl::Duration restore, const std::vector<absl::Duration>& calls) {
  absl::Duration sum;
  const auto end = calls.begin() + std::min<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(calls.size()), kCalls);
  for (auto it = calls.begin(); it != end; ++it) sum += *it;
  return sum / std::max<std::int64_t>(end - calls.begin(), 1) + restore / kCalls;
}

Learner::Decision Learner::OnRestore(absl::string_view snapshot_id, absl::Duration restore,
                                     const std::vector<absl::Duration>& calls) {
  const auto it = std::find_if(candidates_.begin(), candidates_.end(),
                               [&](const Candidate& candidate) { return candidate.id == snapshot_id; });
  if (it == candidates_.end() || calls.empty()) return Decision::kNone;
  SnapshotExperience& experience = it->experience;
  // Welford's method, from what is kept of it.
  const double cost = absl::ToDoubleSeconds(CostOf(restore, calls));
  const auto before = static_cast<double>(experience.restores());
  const double deviation = it->deviation();
  const double delta = cost - it->mean();
  const double mean = it->mean() + delta / (before + 1);
  const double squares = deviation * deviation * std::max(before - 1, 0.0) + delta * (cost - mean);
  experience.set_restores(experience.restores() + 1);
  *experience.mutable_mean_cost() = ToProto(absl::Seconds(mean));
  *experience.mutable_deviation() = ToProto(absl::Seconds(before < 1 ? 0 : std::sqrt(squares / before)));
  absl::Duration sum = FromProto(experience.mean_call()) * static_cast<double>(experience.calls());
  for (const absl::Duration call : calls) sum += call;
  experience.set_calls(experience.calls() + calls.size());
  *experience.mutable_mean_call() = ToProto(sum / static_cast<double>(experience.calls()));
  const Decision decision = Decide();
  SayBeliefs();
  return decision;
}

double Learner::Width(const Candidate& a, const Candidate& b) const {
  const auto restores = static_cast<double>(std::min(a.experience.restores(), b.experience.restores()));
  if (restores < static_cast<double>(kFewestRestores)) return std::numeric_limits<double>::infinity();
  // A bound that holds at every look, and for every pair: the error is shared among the pairs and, by the iterated
  // logarithm, among the looks.
  const double pairs = static_cast<double>(kArms.size() * (kArms.size() - 1)) / 2;
  const double looks = 1 + std::log2(restores);
  const double confidence = std::log(pairs * looks * looks / kError);
  return std::sqrt(2 * confidence * (a.variance() + b.variance()));
}

double Learner::MostLoss(const Candidate& best, const Candidate& other) const {
  return best.mean() - other.mean() + Width(best, other);
}

const Learner::Candidate* Learner::Best() const {
  const Candidate* best = nullptr;
  for (const Candidate& candidate : candidates_) {
    if (!IsActive(candidate.experience) || candidate.experience.restores() == 0) continue;
    if (best == nullptr || candidate.mean() < best->mean()) best = &candidate;
  }
  return best;
}

Learner::Decision Learner::Decide() {
  if (settled()) return Decision::kNone;
  const Candidate* best = Best();
  if (best == nullptr) return Decision::kNone;
  Decision decision = Decision::kNone;
  for (Candidate& candidate : candidates_) {
    if (&candidate == best || !IsActive(candidate.experience)) continue;
    if (candidate.mean() - best->mean() > Width(*best, candidate)) {
      candidate.experience.set_role(SnapshotExperience::ROLE_REJECTED);
      decision = Decision::kRejected;
    }
  }
  std::uint64_t fewest = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t most = 0;
  std::uint64_t all = 0;
  double loss = 0;
  for (const Candidate& candidate : candidates_) {
    all += candidate.experience.restores();
    if (!IsActive(candidate.experience)) continue;
    fewest = std::min(fewest, candidate.experience.restores());
    most = std::max(most, candidate.experience.restores());
    if (&candidate != best) loss = std::max(loss, MostLoss(*best, candidate));
  }
  const bool all_came = FreezeAfter().empty();
  if (!all_came && all < kPatience) return decision;
  if (fewest < kFewestRestores) return decision;
  const bool sure = loss <= kTolerance * best->mean();
  if (!sure && most < kMostRestores) return decision;
  // The earliest of those that are as good as the best: it is the smallest, and the soonest there after a change. Where
  // time was up before it was sure, the best as far as is known.
  Candidate* chosen = nullptr;
  for (Candidate& candidate : candidates_) {
    if (!IsActive(candidate.experience)) continue;
    const bool as_good = sure && candidate.mean() <= best->mean() * (1 + kTolerance / 5);
    if (&candidate == best || as_good) {
      chosen = &candidate;
      break;
    }
  }
  const bool earliest = chosen == &candidates_.front();
  Settle(*chosen);
  return earliest ? Decision::kSettledEarliest : Decision::kSettledLater;
}

std::optional<Learner::Outcome> Learner::outcome() const {
  for (const Candidate& candidate : candidates_) {
    if (candidate.experience.role() != SnapshotExperience::ROLE_CHOSEN) continue;
    const double first = candidates_.front().mean();
    return Outcome{candidate.arm, first > 0 ? 1 - candidate.mean() / first : 0};
  }
  return std::nullopt;
}

void Learner::Settle(Candidate& chosen) {
  for (Candidate& candidate : candidates_) candidate.experience.set_role(SnapshotExperience::ROLE_REJECTED);
  chosen.experience.set_role(SnapshotExperience::ROLE_CHOSEN);
}

void Learner::Reopen() {
  for (Candidate& candidate : candidates_) {
    candidate.experience.Clear();
    candidate.experience.set_role(SnapshotExperience::ROLE_CANDIDATE);
  }
  SayBeliefs();
}

const SnapshotExperience* Learner::Find(absl::string_view snapshot_id) const {
  for (const Candidate& candidate : candidates_) {
    if (candidate.id == snapshot_id) return &candidate.experience;
  }
  return nullptr;
}

std::vector<std::string> Learner::Discarded() const {
  std::vector<std::string> ids;
  if (!settled()) return ids;
  for (const Candidate& candidate : candidates_) {
    if (candidate.experience.role() == SnapshotExperience::ROLE_REJECTED) ids.push_back(candidate.id);
  }
  return ids;
}

void Learner::SayBeliefs() {
  const bool is_settled = settled();
  const Candidate* best = Best();
  for (Candidate& candidate : candidates_) {
    SnapshotExperience& experience = candidate.experience;
    // The others' removal takes the comparison away; what was said when it was settled stays.
    if (is_settled && candidates_.size() == 1 && !experience.belief().empty()) continue;
    std::string belief = absl::StrCat("frozen ", AfterCalls(candidate.arm), ": ");
    if (experience.restores() == 0) {
      experience.set_belief(absl::StrCat(belief, "no restore measured yet"));
      continue;
    }
    absl::StrAppend(&belief, Millis(candidate.mean()), " ± ",
                    Millis(2 * std::sqrt(candidate.variance())), " a call over ", experience.restores(),
                    experience.restores() == 1 ? " restore" : " restores");
    if (is_settled && experience.role() == SnapshotExperience::ROLE_CHOSEN) {
      const Candidate* runner_up = nullptr;
      for (const Candidate& other : candidates_) {
        if (&other == &candidate || other.experience.restores() == 0) continue;
        if (runner_up == nullptr || other.mean() < runner_up->mean()) runner_up = &other;
      }
      absl::StrAppend(&belief, "; settled");
      if (runner_up != nullptr && runner_up->mean() > 0) {
        const double gain = (runner_up->mean() - candidate.mean()) / runner_up->mean();
        absl::StrAppend(&belief, gain >= 0.01 ? absl::StrCat(", ", Percent(gain), " faster than ")
                                              : std::string(", as fast as "),
                        AfterCalls(runner_up->arm), gain < 0.01 && candidate.arm < runner_up->arm ? " and earlier" : "");
      }
    } else if (best != nullptr && best != &candidate && best->mean() > 0) {
      const double behind = (candidate.mean() - best->mean()) / best->mean();
      absl::StrAppend(&belief, "; ", Percent(behind), " slower than ", AfterCalls(best->arm),
                      experience.role() == SnapshotExperience::ROLE_REJECTED ? "" : ", which may be chance");
    } else if (!is_settled) {
      absl::StrAppend(&belief, "; the best so far");
    }
    experience.set_belief(std::move(belief));
  }
}

bool DriftWatch::Add(absl::Duration cost) {
  if (before_ <= absl::ZeroDuration()) return false;
  // One slow restore is cut off: only many of them are drift.
  const double slower = std::min(absl::FDivDuration(cost, before_), 3.0) - 1 - kAllowance;
  sum_ = std::max(0.0, sum_ + slower);
  return sum_ > kLimit;
}

}  // namespace thaw::scheduler
