#include "scheduler/learning/learner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/rpc/client.h"

namespace thaw::scheduler {
namespace {

using common::v1::SnapshotExperience;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Decision = Learner::Decision;

common::v1::SnapshotInfo Snapshot(const std::string& id, std::uint64_t invocations) {
  common::v1::SnapshotInfo snapshot;
  snapshot.set_id(id);
  snapshot.set_invocations(invocations);
  return snapshot;
}

// A restore whose cost is `ms`, give or take one.
Decision Restore(Learner& learner, const std::string& id, int ms, int n) {
  return learner.OnRestore(id, absl::ZeroDuration(), {absl::Milliseconds(n % 2 == 0 ? ms - 1 : ms + 1)});
}

std::vector<std::string> Ids(const std::vector<Learner::Share>& shares) {
  std::vector<std::string> ids;
  for (const auto& share : shares) ids.push_back(absl::StrCat(share.snapshot_id, "=", share.thousandths));
  return ids;
}

TEST(ArmTest, AProcessBelongsToTheLargestCountItHasReached) {
  EXPECT_EQ(ArmOf(0), std::nullopt);
  EXPECT_EQ(ArmOf(1), 0u);
  EXPECT_EQ(ArmOf(4), 0u);
  EXPECT_EQ(ArmOf(5), 1u);
  EXPECT_EQ(ArmOf(99), 2u);
  EXPECT_EQ(ArmOf(100), 3u);
  EXPECT_EQ(ArmOf(1'000'000), 3u);
}

TEST(LearnerTest, EachCountIsWantedUntilThereIsACandidateForIt) {
  EXPECT_THAT(Learner({}).FreezeAfter(), ElementsAre(1, 5, 20, 100));
  const Learner learner({Snapshot("a", 2), Snapshot("b", 30)});
  EXPECT_THAT(learner.FreezeAfter(), ElementsAre(5, 100));
  EXPECT_FALSE(learner.Wants(0));
  EXPECT_FALSE(learner.Wants(3));
  EXPECT_TRUE(learner.Wants(7));
  EXPECT_FALSE(learner.Wants(99));
}

TEST(LearnerTest, OneFrozenBeforeAnyCallCountsOnlyWhenItWasChosen) {
  common::v1::SnapshotInfo early = Snapshot("early", 0);
  EXPECT_THAT(Learner({early}).FreezeAfter(), ElementsAre(1, 5, 20, 100));
  early.mutable_experience()->set_role(SnapshotExperience::ROLE_CHOSEN);
  early.mutable_experience()->set_belief("made by hand");
  const Learner learner({early});
  EXPECT_TRUE(learner.settled());
  EXPECT_THAT(learner.FreezeAfter(), IsEmpty());
  EXPECT_THAT(Ids(learner.Shares({"early"})), ElementsAre("early=1000"));
  EXPECT_EQ(learner.Find("early")->belief(), "made by hand");
}

TEST(LearnerTest, CandidatesShareTheRestoresAndTogetherGetAll) {
  const Learner learner({Snapshot("c", 20), Snapshot("a", 1), Snapshot("b", 5)});
  EXPECT_THAT(Ids(learner.Shares({"a", "b", "c"})), ElementsAre("a=333", "b=333", "c=334"));
  EXPECT_THAT(Ids(learner.Shares({"c"})), ElementsAre("c=1000")) << "nobody has the others";
  EXPECT_THAT(Ids(learner.Shares({})), IsEmpty());
}

TEST(LearnerTest, AClearLoserIsRejectedAndTheRestSettledOnceAllHaveCome) {
  Learner learner({Snapshot("a", 1), Snapshot("b", 5), Snapshot("c", 20), Snapshot("d", 100)});
  Decision last = Decision::kNone;
  for (int n = 0; n < 40 && !learner.settled(); ++n) {
    for (const auto& [id, ms] : {std::pair("a", 50), std::pair("b", 40), std::pair("c", 20), std::pair("d", 45)}) {
      const Decision decision = Restore(learner, id, ms, n);
      if (decision != Decision::kNone) last = decision;
    }
  }
  ASSERT_TRUE(learner.settled());
  EXPECT_EQ(last, Decision::kSettledLater);
  EXPECT_THAT(Ids(learner.Shares({"a", "b", "c", "d"})), ElementsAre("c=1000"));
  EXPECT_THAT(learner.Discarded(), ElementsAre("a", "b", "d"));
  EXPECT_THAT(learner.FreezeAfter(), IsEmpty());
  EXPECT_EQ(learner.Find("c")->role(), SnapshotExperience::ROLE_CHOSEN);
  EXPECT_THAT(learner.Find("c")->belief(), HasSubstr("settled, 50 % faster than after 5 calls"));
  EXPECT_THAT(learner.Find("a")->belief(), HasSubstr("slower than after 20 calls"));
}

TEST(LearnerTest, WhereAllAreAsGoodTheEarliestIsTaken) {
  Learner learner({Snapshot("a", 1), Snapshot("b", 5), Snapshot("c", 20), Snapshot("d", 100)});
  Decision last = Decision::kNone;
  for (int n = 0; n < 100 && !learner.settled(); ++n) {
    for (const char* id : {"a", "b", "c", "d"}) last = std::max(last, Restore(learner, id, 40, n));
  }
  EXPECT_EQ(last, Decision::kSettledEarliest);
  EXPECT_THAT(Ids(learner.Shares({"a", "b"})), ElementsAre("a=1000"));
}

TEST(LearnerTest, CandidatesThatNeverComeAreNotWaitedForWithoutEnd) {
  Learner learner({Snapshot("a", 1), Snapshot("b", 5)});
  for (std::uint64_t n = 0; n + 1 < Learner::kPatience; ++n) {
    // The loser is out soon, and restored no more.
    Restore(learner, n < 20 && n % 2 == 0 ? "a" : "b", n < 20 && n % 2 == 0 ? 40 : 20, static_cast<int>(n / 2));
    EXPECT_FALSE(learner.settled());
  }
  EXPECT_THAT(learner.FreezeAfter(), ElementsAre(20, 100));
  Restore(learner, "b", 20, 1);
  EXPECT_TRUE(learner.settled());
  EXPECT_THAT(learner.Discarded(), ElementsAre("a"));
}

TEST(LearnerTest, FewRestoresDecideNothing) {
  Learner learner({Snapshot("a", 1), Snapshot("b", 5), Snapshot("c", 20), Snapshot("d", 100)});
  for (int n = 0; n < static_cast<int>(Learner::kFewestRestores) - 1; ++n) {
    for (const auto& [id, ms] : {std::pair("a", 500), std::pair("b", 40), std::pair("c", 20), std::pair("d", 45)}) {
      EXPECT_EQ(Restore(learner, id, ms, n), Decision::kNone);
    }
  }
}

TEST(LearnerTest, AllThatIsKnownComesBackFromTheCatalogue) {
  std::vector<common::v1::SnapshotInfo> snapshots = {Snapshot("a", 1), Snapshot("b", 5)};
  Learner whole(snapshots);
  for (int n = 0; n < 30; ++n) {
    // One that lives on, and one that is read back after each restore, as by a scheduler that is started anew.
    Restore(whole, "a", 30 + n % 7, n);
    Learner again(snapshots);
    Restore(again, "a", 30 + n % 7, n);
    *snapshots[0].mutable_experience() = *again.Find("a");
  }
  const auto& kept = snapshots[0].experience();
  EXPECT_EQ(kept.restores(), whole.Find("a")->restores());
  EXPECT_NEAR(absl::ToDoubleMilliseconds(FromProto(kept.mean_cost())),
              absl::ToDoubleMilliseconds(FromProto(whole.Find("a")->mean_cost())), 1e-3);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(FromProto(kept.deviation())),
              absl::ToDoubleMilliseconds(FromProto(whole.Find("a")->deviation())), 1e-3);
}

TEST(LearnerTest, TheCostIsTheFirstCallsMeanAndATenthOfTheRestore) {
  EXPECT_EQ(Learner::CostOf(absl::Milliseconds(100), {absl::Milliseconds(20), absl::Milliseconds(30)}), absl::Milliseconds(35));
  std::vector<absl::Duration> calls(20, absl::Seconds(9));
  std::fill(calls.begin(), calls.begin() + Learner::kCalls, absl::Milliseconds(1));
  EXPECT_EQ(Learner::CostOf(absl::ZeroDuration(), calls), absl::Milliseconds(1));
}

TEST(LearnerTest, AReportWithoutCallsOrOfAStrangerChangesNothing) {
  Learner learner({Snapshot("a", 1)});
  EXPECT_EQ(learner.OnRestore("a", absl::Seconds(1), {}), Decision::kNone);
  EXPECT_EQ(learner.OnRestore("x", absl::Seconds(1), {absl::Seconds(1)}), Decision::kNone);
  EXPECT_EQ(learner.Find("a")->restores(), 0u);
}

TEST(LearnerTest, ANewCandidateMakesOlderRestoresCountLess) {
  Learner learner({Snapshot("a", 1), Snapshot("b", 5)});
  for (int n = 0; n < 30; ++n) Restore(learner, "a", 40, n);
  learner.OnCandidate("b");
  EXPECT_EQ(learner.Find("a")->restores(), Learner::kKeptOnNews);
}

TEST(LearnerTest, ReopenedAllButTheOneThereIsAreWantedAgain) {
  auto snapshot = Snapshot("c", 20);
  snapshot.mutable_experience()->set_role(SnapshotExperience::ROLE_CHOSEN);
  snapshot.mutable_experience()->set_restores(100);
  Learner learner({snapshot});
  ASSERT_TRUE(learner.settled());
  learner.Reopen();
  EXPECT_FALSE(learner.settled());
  EXPECT_THAT(learner.FreezeAfter(), ElementsAre(1, 5, 100));
  EXPECT_EQ(learner.Find("c")->restores(), 0u);
}

TEST(DriftWatchTest, LastingSlownessIsDriftAndNoiseIsNot) {
  DriftWatch noisy(absl::Milliseconds(10));
  for (int n = 0; n < 10'000; ++n) EXPECT_FALSE(noisy.Add(absl::Milliseconds(n % 10 == 0 ? 20 : 9)));
  DriftWatch slower(absl::Milliseconds(10));
  int restores = 0;
  while (restores < 100 && !slower.Add(absl::Milliseconds(15))) ++restores;
  EXPECT_GT(restores, 10);
  EXPECT_LT(restores, 60);
  DriftWatch once(absl::Milliseconds(10));
  EXPECT_FALSE(once.Add(absl::Seconds(100))) << "one slow restore is no drift";
}

}  // namespace
}  // namespace thaw::scheduler
