#ifndef THAW_SCHEDULER_LEARNING_LEARNER_H_
#define THAW_SCHEDULER_LEARNING_LEARNER_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "scheduler/learning/arms.h"
#include "thaw/common/v1/catalogue.pb.h"
#include "thaw/common/v1/freezing.pb.h"

namespace thaw::scheduler {

// Which of several snapshots of one version calls should be restored from: best-arm identification by successive
// elimination (Even-Dar, Mannor, Mansour 2006). docs/adr has why, and what it promises.
//
// All candidates get the same share of the restores. One whose mean cost is worse than the best's by more than chance
// allows is rejected. When what the best could still lose against any other is below kTolerance of its cost, or a
// candidate has had kMostRestores, it is settled: the best gets all restores. Where candidates are equally good the
// earliest is taken. After that only drift (DriftWatch) opens the question again.
//
// The cost of a restore is the mean of its first calls and a tenth of the restore itself: what ten callers feel.
//
// A value without memory of its own: all that is learned is in the snapshots' `experience`, which the catalogue keeps.
// Threads: none; one at a time.
class Learner {
 public:
  static constexpr double kTolerance = 0.05;
  // Chance of one wrong rejection in a version's life, for costs that are roughly normal.
  static constexpr double kError = 0.05;
  static constexpr std::uint64_t kFewestRestores = 8;
  static constexpr std::uint64_t kMostRestores = 2000;
  // After so many restores of all candidates together, those that never came are not waited for: no instance lives so
  // long.
  static constexpr std::uint64_t kPatience = 200;
  // What older restores count for when a new candidate comes: it sees other calls than they did.
  static constexpr std::uint64_t kKeptOnNews = 20;
  // Calls that one restore's cost is spread over, and of which more are not looked at.
  static constexpr int kCalls = 10;

  enum class Decision { kNone, kRejected, kSettledEarliest, kSettledLater };

  // Of all snapshots that the version has; those that were frozen before any call are left out, unless chosen.
  explicit Learner(const std::vector<common::v1::SnapshotInfo>& snapshots);

  // Whether the version has its answer.
  bool settled() const;
  // Whether a process that has answered so many calls would make a candidate that is not there.
  bool Wants(std::uint64_t answered) const;
  // Numbers of answered calls for which candidates are wanted.
  std::vector<std::uint32_t> FreezeAfter() const;

  struct Share {
    std::string snapshot_id;
    std::uint32_t thousandths;
  };
  // Of those among `usable` that are tried, or the settled one; together 1,000, earliest first. Where the settled one is
  // not usable, whatever is. Empty when nothing is usable.
  std::vector<Share> Shares(const std::vector<std::string>& usable) const;

  // A new candidate has come: what is known of the others counts less.
  void OnCandidate(absl::string_view snapshot_id);
  // Of one restored instance. Without calls, or of an unknown snapshot, nothing changes. Once it is settled, or for a
  // rejected one, restores and calls are counted, and the means follow, but nothing is decided.
  Decision OnRestore(absl::string_view snapshot_id, absl::Duration restore, const std::vector<absl::Duration>& calls);
  // The chosen one has become slow: it is compared anew, with all others wanted again.
  void Reopen();

  // What is known of a snapshot, its role and belief included; null for an unknown one.
  const common::v1::SnapshotExperience* Find(absl::string_view snapshot_id) const;
  // Ids that belong to nobody's share any more: those rejected, once the version is settled.
  std::vector<std::string> Discarded() const;

  // By how much the settled one is faster than the earliest that it was compared with, and its arm; before it is
  // settled, nothing.
  struct Outcome {
    std::size_t arm;
    double gain;
  };
  std::optional<Outcome> outcome() const;

  // What is compared.
  static absl::Duration CostOf(absl::Duration restore, const std::vector<absl::Duration>& calls);

 private:
  struct Candidate {
    std::string id;
    std::size_t arm;
    common::v1::SnapshotExperience experience;
    double mean() const;
    double deviation() const;
    // Of the mean.
    double variance() const;
  };

  Decision Decide();
  // By how much `other` may be better than `best`, in seconds; negative when it is surely worse.
  double MostLoss(const Candidate& best, const Candidate& other) const;
  double Width(const Candidate& a, const Candidate& b) const;
  const Candidate* Best() const;
  void Settle(Candidate& chosen);
  void SayBeliefs();

  // By arm.
  std::vector<Candidate> candidates_;
};

// Notices that the settled snapshot's restores have become slower for good: a Page-Hinkley test (Page 1954) on their
// cost relative to what it was. One at a time.
class DriftWatch {
 public:
  // Slowness below this is let pass, and what is beyond it is summed until so many times the cost has been lost.
  static constexpr double kAllowance = 0.15;
  static constexpr double kLimit = 10;

  // `before`: the mean when it was settled.
  explicit DriftWatch(absl::Duration before) : before_(before) {}
  // True once the sum is beyond the limit.
  bool Add(absl::Duration cost);

 private:
  absl::Duration before_;
  double sum_ = 0;
};

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_LEARNING_LEARNER_H_
