#include "agent/transfer/snapshot_fetcher.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "absl/strings/match.h"
#include "absl/synchronization/notification.h"
#include "agent/snapshot/manifest.h"
#include "common/metrics/metrics.h"
#include "common/status/reasons.h"
#include "prometheus/registry.h"
#include "tests/agent/snapshot/sample_tree.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_peers.h"
#include "tests/fakes/fake_snapshot_store.h"

namespace thaw::agent {
namespace {

using ::thaw::testing::DraftManifest;
using ::thaw::testing::FakeClock;
using ::thaw::testing::FakePeers;
using ::thaw::testing::FakeSnapshotStore;
using ::thaw::testing::PageLikeBytes;

const Holder kA{"a", "a:1"}, kB{"b", "b:1"}, kC{"c", "c:1"};

class SnapshotFetcherTest : public ::testing::Test {
 protected:
  SnapshotFetcherTest() {
    for (FakeSnapshotStore* store : {&a_, &b_}) {
      store->SetSource("dump", {{"images", ""}, {"images/core-1.img", "core"}, {"images/pages-1.img", pages_}});
      manifest_ = *store->Publish("dump", Draft());
    }
    peers_.Add(kA.address, &a_);
    peers_.Add(kB.address, &b_);
    peers_.Add(kC.address, nullptr);
    id_ = manifest_.info().id();
    chunks_ = ChunksOf(manifest_);
  }
  static v1::Manifest Draft() { return DraftManifest("v1"); }
  absl::Time Soon() const { return absl::Now() + absl::Seconds(30); }
  absl::StatusOr<FetchResult> Fetch(const std::vector<Holder>& holders) {
    return fetcher_.Fetch(id_, "v1", holders, Soon());
  }
  double Metric(const std::string& line_start) {
    for (const std::string& text = RenderMetrics(registry_); std::size_t at = text.find("\n" + line_start);) {
      if (at == std::string::npos) break;
      return std::stod(text.substr(at + 1 + line_start.size()));
    }
    ADD_FAILURE() << "no series " << line_start;
    return -1;
  }
  double Fetches(const std::string& outcome) {
    return Metric("thaw_agent_snapshot_fetches_total{outcome=\"" + outcome + "\"} ");
  }
  bool Whole() { return here_.GetManifest(id_).ok() && here_.Materialize(id_, "/target").ok(); }

  // 21 chunks: several batches of eight.
  const std::string pages_ = PageLikeBytes(20 * kMaxChunkBytes, 7);
  FakeSnapshotStore a_, b_, here_;
  FakePeers peers_;
  prometheus::Registry registry_;
  TransferMetrics metrics_{registry_};
  SnapshotFetcher fetcher_{{.architecture = "x86_64", .max_batch = 8}, here_, peers_, metrics_};
  v1::Manifest manifest_;
  std::string id_;
  std::vector<std::string> chunks_;
};

TEST_F(SnapshotFetcherTest, FetchesAllOfItAndCountsTheCompressedBytes) {
  const auto result = Fetch({kA});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->chunks_fetched, chunks_.size());
  EXPECT_EQ(result->chunks_present, 0u);
  EXPECT_EQ(result->received_bytes, manifest_.info().stored_bytes());
  EXPECT_EQ(result->holder, "a");
  EXPECT_TRUE(Whole());
  EXPECT_EQ(Metric("thaw_agent_transfer_received_bytes_total{kind=\"snapshot\"} "), manifest_.info().stored_bytes());
  EXPECT_EQ(Fetches("ok"), 1);
}

TEST_F(SnapshotFetcherTest, AsksOnlyForWhatIsMissing) {
  for (std::size_t i = 0; i < chunks_.size(); i += 2) {
    ASSERT_TRUE(here_.PutChunk(chunks_[i], *a_.ReadChunk(chunks_[i])).ok());
  }
  const auto result = Fetch({kA});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->chunks_present, (chunks_.size() + 1) / 2);
  EXPECT_EQ(result->chunks_fetched, chunks_.size() / 2);
  EXPECT_EQ(peers_.Given(kA.address), static_cast<int>(chunks_.size() / 2));
  EXPECT_TRUE(Whole());
}

TEST_F(SnapshotFetcherTest, SnapshotThatIsHereAsksNobody) {
  ASSERT_TRUE(Fetch({kA}).ok());
  const int calls = peers_.Calls(kA.address);
  const auto again = Fetch({kA});
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->chunks_present, chunks_.size());
  EXPECT_EQ(again->received_bytes, 0u);
  EXPECT_EQ(peers_.Calls(kA.address), calls);
  EXPECT_EQ(Fetches("present"), 1);
}

TEST_F(SnapshotFetcherTest, HolderThatDiesMidStreamIsReplacedForTheRest) {
  peers_.SetFaults(kA.address, {.dies_after = 6});
  const auto result = Fetch({kA, kB});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(peers_.Given(kA.address), 6) << "the fault must fire";
  EXPECT_EQ(result->holder, "b");
  EXPECT_EQ(result->chunks_fetched, chunks_.size());
  EXPECT_EQ(peers_.Given(kB.address), static_cast<int>(chunks_.size()) - 6) << "missing chunks only";
  EXPECT_EQ(result->received_bytes, manifest_.info().stored_bytes());
  EXPECT_TRUE(Whole());
}

TEST_F(SnapshotFetcherTest, FlippedByteIsRefusedAndComesFromAnotherHolder) {
  peers_.SetFaults(kA.address, {.flips_nth = 3});
  const auto result = Fetch({kA, kB});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->holder, "b");
  EXPECT_GT(peers_.Given(kB.address), 0);
  EXPECT_TRUE(Whole());
}

TEST_F(SnapshotFetcherTest, FlippedByteOfTheOnlyHolderIsAskedForAgain) {
  peers_.SetFaults(kA.address, {.flips_nth = 3});
  ASSERT_TRUE(Fetch({kA}).ok());
  EXPECT_EQ(peers_.Given(kA.address), static_cast<int>(chunks_.size()) + 1);
  EXPECT_TRUE(Whole());
}

TEST_F(SnapshotFetcherTest, DamagedChunkAtTheHolderComesFromAnother) {
  a_.DamageChunk(chunks_[5]);
  const auto result = Fetch({kA, kB});
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(a_.quarantined().size(), 1u) << "the holder takes it out of service";
  EXPECT_EQ(result->holder, "b");
  EXPECT_TRUE(Whole());
}

TEST_F(SnapshotFetcherTest, ChunksUnderWrongNamesAreRefused) {
  peers_.SetFaults(kA.address, {.swaps_chunks = true});
  const auto result = Fetch({kA});
  EXPECT_TRUE(absl::IsUnavailable(result.status())) << result.status();
  EXPECT_TRUE(here_.List().empty());
  for (const std::string& sha256 : chunks_) EXPECT_FALSE(here_.HasChunk(sha256));
}

TEST_F(SnapshotFetcherTest, StreamThatEndsEarlyIsNoticed) {
  peers_.SetFaults(kA.address, {.leaves_out_last = true});
  const auto result = Fetch({kA, kB});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->holder, "b");
}

TEST_F(SnapshotFetcherTest, LyingManifestIsRefused) {
  peers_.SetFaults(kA.address, {.lie = [](v1::Manifest* manifest) { manifest->set_uid(0); }});
  EXPECT_TRUE(absl::IsUnavailable(Fetch({kA}).status()));
  EXPECT_EQ(peers_.Given(kA.address), 0);
  // With an id that fits its lie it is not what was asked for.
  peers_.SetFaults(kA.address, {.lie = [](v1::Manifest* manifest) {
    manifest->set_uid(0);
    manifest->mutable_info()->set_id(ManifestId(*manifest));
  }});
  const auto result = Fetch({kA, kB});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->holder, "b");
}

TEST_F(SnapshotFetcherTest, AnotherVersionsSnapshotIsRefusedForGood) {
  const auto result = fetcher_.Fetch(id_, "v2", {kA, kB}, Soon());
  EXPECT_TRUE(absl::IsFailedPrecondition(result.status())) << result.status();
  EXPECT_EQ(peers_.Calls(kB.address), 0) << "it is the same everywhere";
  EXPECT_EQ(Fetches("refused"), 1);
}

TEST_F(SnapshotFetcherTest, OtherArchitecturesSnapshotIsRefused) {
  v1::Manifest draft = Draft();
  draft.mutable_info()->set_architecture("aarch64");
  const std::string id = a_.Publish("dump", draft)->info().id();
  const auto result = fetcher_.Fetch(id, "v1", {kA}, Soon());
  EXPECT_TRUE(absl::IsFailedPrecondition(result.status())) << result.status();
  EXPECT_TRUE(absl::StrContains(result.status().message(), "aarch64"));
  EXPECT_EQ(peers_.Given(kA.address), 0);
}

TEST_F(SnapshotFetcherTest, SlowHolderIsLeftForAnother) {
  peers_.SetFaults(kA.address, {.stalls = true});
  const auto result = Fetch({kA, kB});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(peers_.Calls(kA.address), 1) << "the fault must fire";
  EXPECT_EQ(result->holder, "b");
}

TEST_F(SnapshotFetcherTest, DeadlineEndsTheFetchAndTheNextGoesOn) {
  FakeClock clock;
  FakePeers peers(&clock);
  peers.Add(kA.address, &a_);
  SnapshotFetcher fetcher({.streams = 1, .clock = &clock}, here_, peers, metrics_);
  int given = 0;
  peers.SetFaults(kA.address, {.before_each = [&] {
    if (++given == 11) clock.Advance(absl::Seconds(31));
  }});
  const auto result = fetcher.Fetch(id_, "v1", {kA}, clock.Now() + absl::Seconds(30));
  EXPECT_TRUE(absl::IsDeadlineExceeded(result.status())) << result.status();
  EXPECT_EQ(Fetches("deadline"), 1);
  const auto next = fetcher.Fetch(id_, "v1", {kA}, clock.Now() + absl::Seconds(30));
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_EQ(next->chunks_present, 10u);
  EXPECT_TRUE(Whole());
}

TEST_F(SnapshotFetcherTest, NobodyHasIt) {
  const auto result = fetcher_.Fetch(id_, "v1", {kC}, Soon());
  EXPECT_TRUE(absl::IsNotFound(result.status())) << result.status();
  EXPECT_EQ(ReasonOf(result.status()), reason::kSnapshotNotFound);
  EXPECT_EQ(Fetches("unavailable"), 1);
}

TEST_F(SnapshotFetcherTest, ErrorNamesEachNodeAndWhatItSaid) {
  peers_.SetFaults(kA.address, {.unreachable = true});
  const auto result = Fetch({kA, kC});
  EXPECT_TRUE(absl::IsUnavailable(result.status())) << result.status();
  for (const char* word : {id_.c_str(), "node a (a:1): connection refused", "node c (c:1): no whole snapshot"}) {
    EXPECT_TRUE(absl::StrContains(result.status().message(), word)) << result.status();
  }
  EXPECT_TRUE(absl::IsUnavailable(Fetch({}).status()));
}

TEST_F(SnapshotFetcherTest, OwnFullDiskIsNotBlamedOnTheHolder) {
  here_.FailNext(FakeSnapshotStore::Op::kPutChunk,
                 WithReason(absl::ResourceExhaustedError("no space"), reason::kDiskFull), 1000);
  const auto result = Fetch({kA, kB});
  EXPECT_TRUE(absl::IsResourceExhausted(result.status())) << result.status();
  EXPECT_EQ(ReasonOf(result.status()), reason::kDiskFull);
  EXPECT_EQ(peers_.Calls(kB.address), 0);
  EXPECT_EQ(Fetches("failed"), 1);
}

TEST_F(SnapshotFetcherTest, SnapshotBeyondTheStoresLimitIsNotEvenAskedFor) {
  here_.FailNext(FakeSnapshotStore::Op::kMakeRoom, absl::ResourceExhaustedError("--snapshot-store-bytes allows 1000"));
  const absl::Status status = Fetch({kA, kB}).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_EQ(peers_.Given(kA.address) + peers_.Given(kB.address), 0) << "no chunk travels";
  EXPECT_EQ(Fetches("failed"), 1);
  EXPECT_TRUE(Fetch({kA}).ok());
}

TEST_F(SnapshotFetcherTest, SharedChunkThatVanishesBeforeTheEndIsFetchedAfterAll) {
  // Another snapshot here shares the chunks; it is removed while the fetch counts on them.
  here_.SetSource("dump", {{"images", ""}, {"images/pages-1.img", pages_}});
  const std::string other = here_.Publish("dump", DraftManifest("other"))->info().id();
  std::atomic<bool> removed{false};
  peers_.SetFaults(kA.address, {.before_each = [&] {
    if (removed.exchange(true)) return;
    EXPECT_TRUE(here_.Remove(other).ok());
  }});
  const auto result = Fetch({kA});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(removed);
  EXPECT_EQ(result->chunks_fetched, chunks_.size());
  EXPECT_TRUE(Whole());
}

TEST_F(SnapshotFetcherTest, ConcurrentFetchesOfOneSnapshotAreOne) {
  absl::Notification begun, go_on;
  peers_.SetFaults(kA.address, {.before_each = [&] {
    if (!begun.HasBeenNotified()) {
      begun.Notify();
      go_on.WaitForNotification();
    }
  }});
  // One stream, so that the hook runs on one thread.
  SnapshotFetcher fetcher({.streams = 1}, here_, peers_, metrics_);
  absl::StatusOr<FetchResult> first, second;
  std::thread first_caller([&] { first = fetcher.Fetch(id_, "v1", {kA}, Soon()); });
  begun.WaitForNotification();
  std::thread second_caller([&] { second = fetcher.Fetch(id_, "v1", {kB}, Soon()); });
  const auto impatient = fetcher.Fetch(id_, "v1", {kB}, absl::Now() + absl::Milliseconds(20));
  EXPECT_TRUE(absl::IsDeadlineExceeded(impatient.status())) << impatient.status();
  go_on.Notify();
  first_caller.join();
  second_caller.join();
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(peers_.Given(kA.address), static_cast<int>(chunks_.size()));
  EXPECT_EQ(peers_.Calls(kB.address), 0);
}

}  // namespace
}  // namespace thaw::agent
