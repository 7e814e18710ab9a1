// The learner on recorded latency curves, over many seeds: it settles, and what it settles on is never more than 5 %
// worse than the best fixed choice. The same check refuses learners that don't learn.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "scheduler/learning/learner.h"

namespace thaw::scheduler {
namespace {

constexpr int kSeeds = 100;

struct Curve {
  std::string name;
  std::vector<double> restore_us;
  double noise = 0;
  double outliers = 0;
  std::vector<double> calls_us;
};

Curve Load(const std::string& name) {
  Curve curve;
  curve.name = name;
  std::ifstream file(absl::StrCat(THAW_LEARNING_CURVES, "/", name, ".txt"));
  EXPECT_TRUE(file.is_open()) << name;
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string key;
    if (line.empty() || line[0] == '#') continue;
    if (curve.calls_us.empty() && line[0] >= 'a') {
      words >> key;
      double value = 0;
      if (key == "noise") words >> curve.noise;
      if (key == "outliers") words >> curve.outliers;
      while (key == "restore_us" && words >> value) curve.restore_us.push_back(value);
      continue;
    }
    double value = 0;
    while (words >> value) curve.calls_us.push_back(value);
  }
  EXPECT_EQ(curve.restore_us.size(), kArms.size()) << name;
  EXPECT_GE(curve.calls_us.size(), kArms.back() + Learner::kCalls) << name;
  return curve;
}

std::vector<std::string> AllCurves() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(THAW_LEARNING_CURVES)) {
    if (entry.path().extension() == ".txt") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// What a restore of the candidate costs without noise, in microseconds.
double TrueCost(const Curve& curve, std::size_t arm) {
  const auto begin = curve.calls_us.begin() + kArms[arm];
  return std::accumulate(begin, begin + Learner::kCalls, 0.0) / Learner::kCalls + curve.restore_us[arm] / Learner::kCalls;
}

double BestCost(const Curve& curve) {
  double best = TrueCost(curve, 0);
  for (std::size_t arm = 1; arm < kArms.size(); ++arm) best = std::min(best, TrueCost(curve, arm));
  return best;
}

common::v1::SnapshotInfo Snapshot(std::size_t arm) {
  common::v1::SnapshotInfo snapshot;
  snapshot.set_id(absl::StrCat("arm", arm));
  snapshot.set_invocations(kArms[arm]);
  return snapshot;
}

// One version's life: candidates come one by one, each restore's report is lost with its process one time in fifty (a
// restarted scheduler reads back what it has written).
class World {
 public:
  World(const Curve& curve, unsigned seed) : curve_(curve), random_(seed) {}

  // One more candidate after each of so many restores.
  static constexpr int kArrivals[] = {0, 3, 25, 90};

  struct Result {
    bool settled = false;
    std::size_t arm = 0;
    int restores = 0;
  };
  Result Run(int most_restores) {
    Result result;
    for (int n = 0; n < most_restores; ++n) {
      for (std::size_t arm = 0; arm < kArms.size(); ++arm) {
        if (kArrivals[arm] != n) continue;
        if (!Learner(snapshots_).Wants(kArms[arm])) continue;
        snapshots_.push_back(Snapshot(arm));
        Learner learner(snapshots_);
        learner.OnCandidate(snapshots_.back().id());
        Keep(learner);
      }
      std::vector<std::string> ids;
      for (const auto& snapshot : snapshots_) ids.push_back(snapshot.id());
      Learner learner(snapshots_);
      const auto shares = learner.Shares(ids);
      std::uint32_t ticket = std::uniform_int_distribution<std::uint32_t>(0, 999)(random_);
      const Learner::Share* drawn = &shares.back();
      for (const auto& share : shares) {
        if (ticket < share.thousandths) {
          drawn = &share;
          break;
        }
        ticket -= share.thousandths;
      }
      const auto arm = static_cast<std::size_t>(drawn->snapshot_id.back() - '0');
      const auto [restore, calls] = Draw(arm);
      learner.OnRestore(drawn->snapshot_id, restore, calls);
      Keep(learner);
      result.restores = n + 1;
      if (!learner.settled()) continue;
      result.settled = true;
      result.arm = static_cast<std::size_t>(learner.Shares(ids).front().snapshot_id.back() - '0');
      return result;
    }
    return result;
  }

  std::pair<absl::Duration, std::vector<absl::Duration>> Draw(std::size_t arm) {
    // Few instances live as long as the longest count.
    const int calls = std::uniform_int_distribution<int>(1, Learner::kCalls)(random_);
    std::vector<absl::Duration> took;
    for (int i = 0; i < calls; ++i) {
      double us = curve_.calls_us[kArms[arm] + static_cast<std::size_t>(i)] * Noise();
      if (std::uniform_real_distribution<double>(0, 1)(random_) < curve_.outliers) us *= 10;
      took.push_back(absl::Microseconds(us));
    }
    return {absl::Microseconds(curve_.restore_us[arm] * Noise()), took};
  }

 private:
  double Noise() {
    const double variance = std::log(1 + curve_.noise * curve_.noise);
    return std::lognormal_distribution<double>(-variance / 2, std::sqrt(variance))(random_);
  }
  void Keep(const Learner& learner) {
    for (auto& snapshot : snapshots_) *snapshot.mutable_experience() = *learner.Find(snapshot.id());
  }

  const Curve& curve_;
  std::mt19937_64 random_;
  std::vector<common::v1::SnapshotInfo> snapshots_;
};

// The share of seeds whose choice is more than 5 % worse than the best fixed one.
int Losers(const Curve& curve, const std::function<std::size_t(unsigned seed)>& choose) {
  int losers = 0;
  for (unsigned seed = 1; seed <= kSeeds; ++seed) losers += TrueCost(curve, choose(seed)) > 1.05 * BestCost(curve);
  return losers;
}

class SimulationTest : public ::testing::TestWithParam<std::string> {};

TEST_P(SimulationTest, ItSettlesAndNeverLosesMoreThanFivePercent) {
  const Curve curve = Load(GetParam());
  std::vector<int> restores;
  std::vector<int> chosen(kArms.size());
  const int losers = Losers(curve, [&](unsigned seed) {
    World world(curve, seed);
    const World::Result result = world.Run(4 * static_cast<int>(Learner::kMostRestores));
    EXPECT_TRUE(result.settled) << "seed " << seed;
    restores.push_back(result.restores);
    ++chosen[result.arm];
    return result.arm;
  });
  EXPECT_EQ(losers, 0) << "of " << kSeeds << " seeds";
  std::sort(restores.begin(), restores.end());
  std::printf("%-26s restores until settled: median %4d, most %4d; chosen after 1/5/20/100 calls: %d/%d/%d/%d\n",
              curve.name.c_str(), restores[restores.size() / 2], restores.back(), chosen[0], chosen[1], chosen[2],
              chosen[3]);
}

std::string NameOf(const ::testing::TestParamInfo<std::string>& info) { return info.param; }
INSTANTIATE_TEST_SUITE_P(Curves, SimulationTest, ::testing::ValuesIn(AllCurves()), NameOf);

TEST(SimulationCheckTest, ALearnerThatAlwaysTakesTheFirstFailsIt) {
  EXPECT_EQ(Losers(Load("jvm_json"), [](unsigned) { return 0; }), kSeeds);
  EXPECT_EQ(Losers(Load("jvm_words"), [](unsigned) { return 0; }), kSeeds);
}
TEST(SimulationCheckTest, ALearnerThatAlwaysTakesTheLastFailsIt) {
  EXPECT_EQ(Losers(Load("loses"), [](unsigned) { return kArms.size() - 1; }), kSeeds);
}
// Two restores of each are not enough: what the confidence is for.
TEST(SimulationCheckTest, AHastyLearnerFailsIt) {
  const Curve curve = Load("jvm_noisy");
  EXPECT_GT(Losers(curve, [&](unsigned seed) {
              World world(curve, seed);
              std::size_t best = 0;
              absl::Duration least = absl::InfiniteDuration();
              for (std::size_t arm = 0; arm < kArms.size(); ++arm) {
                const auto [restore, calls] = world.Draw(arm);
                const absl::Duration cost = Learner::CostOf(restore, calls);
                if (cost < least) {
                  least = cost;
                  best = arm;
                }
              }
              return best;
            }),
            0);
}
// The curves are what the issue speaks of: gains of 14 to 60 % and more, and losses.
TEST(SimulationCheckTest, TheCurvesHaveGainsAndLosses) {
  const auto gain = [](const char* name) {
    const Curve curve = Load(name);
    return 1 - BestCost(curve) / TrueCost(curve, 0);
  };
  EXPECT_GT(gain("jvm_json"), 0.4);
  EXPECT_GT(gain("jvm_words_with_database"), 0.05);
  EXPECT_EQ(gain("loses"), 0);
  EXPECT_LT(gain("flat"), 0.01);
}

}  // namespace
}  // namespace thaw::scheduler
