#include "agent/node/snapshot_standing.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace thaw::agent {
namespace {

thaw::common::v1::SnapshotInfo Snapshot(const std::string& id) {
  thaw::common::v1::SnapshotInfo info;
  info.set_id(id);
  info.set_version_id("v1");
  return info;
}

VersionState Version(const std::string& current, const std::vector<std::string>& holders) {
  VersionState state;
  state.mutable_spec()->set_version_id("v1");
  if (!current.empty()) *state.mutable_snapshot() = Snapshot(current);
  for (const std::string& holder : holders) state.add_snapshot_holders()->set_node_id(holder);
  return state;
}

TEST(SnapshotStanding, OfNoVersionOrReplacedIsNotCurrent) {
  EXPECT_EQ(StandingOf(Snapshot("s"), {}, "a"), SnapshotStanding::kNotCurrent);
  EXPECT_EQ(StandingOf(Snapshot("s"), {Version("other", {"a", "b"})}, "a"), SnapshotStanding::kNotCurrent);
}

TEST(SnapshotStanding, OnlyHolderKeepsIt) {
  EXPECT_EQ(StandingOf(Snapshot("s"), {Version("s", {"a"})}, "a"), SnapshotStanding::kKeep);
  EXPECT_EQ(StandingOf(Snapshot("s"), {Version("s", {})}, "a"), SnapshotStanding::kKeep);
}

TEST(SnapshotStanding, AVersionThatIsKnownWithoutASnapshotKeepsItsOwn) {
  EXPECT_EQ(StandingOf(Snapshot("s"), {Version("", {})}, "a"), SnapshotStanding::kKeep);
}

TEST(SnapshotStanding, OfSeveralHoldersExactlyOneKeepsItWhicheverOrderTheyComeIn) {
  for (const std::string snapshot : {"s1", "s2", "s3", "s4", "s5"}) {
    int keepers = 0;
    for (const std::string node : {"a", "b", "c"}) {
      const SnapshotStanding one = StandingOf(Snapshot(snapshot), {Version(snapshot, {"a", "b", "c"})}, node);
      EXPECT_EQ(one, StandingOf(Snapshot(snapshot), {Version(snapshot, {"c", "a", "b"})}, node));
      keepers += one == SnapshotStanding::kKeep;
    }
    EXPECT_EQ(keepers, 1) << "two that evict at the same time must not leave none";
  }
}

TEST(SnapshotStanding, CandidatesAreCurrentToo) {
  VersionState version = Version("other", {"a"});
  auto& candidate = *version.add_candidates();
  *candidate.mutable_snapshot() = Snapshot("s");
  candidate.add_holders()->set_node_id("a");
  EXPECT_EQ(StandingOf(Snapshot("s"), {version}, "a"), SnapshotStanding::kKeep);
}

}  // namespace
}  // namespace thaw::agent
