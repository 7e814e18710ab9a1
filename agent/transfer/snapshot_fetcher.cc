#include "agent/transfer/snapshot_fetcher.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "agent/snapshot/manifest.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::agent {
namespace {

// A snapshot whose shared chunks keep vanishing under it (others that use them are removed at the same time) is tried
// again this often.
constexpr int kMaxRounds = 8;

absl::Status Timeout(absl::string_view snapshot_id, absl::string_view tried) {
  return absl::DeadlineExceededError(absl::StrCat("snapshot ", snapshot_id, " could not be fetched in time", tried));
}

}  // namespace

SnapshotFetcher::SnapshotFetcher(Options options, SnapshotStore& store, Peers& peers, TransferMetrics& metrics)
    : options_(std::move(options)),
      clock_(options_.clock != nullptr ? *options_.clock : real_clock_),
      store_(store),
      peers_(peers),
      metrics_(metrics),
      work_(options_.streams) {}

absl::StatusOr<FetchResult> SnapshotFetcher::Fetch(const std::string& snapshot_id, const std::string& version_id,
                                                   const std::vector<Holder>& holders, absl::Time deadline) {
  return flights_.Do(snapshot_id, deadline, [&] {
    absl::StatusOr<FetchResult> result = FetchOnce(snapshot_id, version_id, holders, deadline);
    Count(result);
    return result;
  });
}

void SnapshotFetcher::Count(const absl::StatusOr<FetchResult>& result) {
  FetchOutcome outcome = FetchOutcome::kFailed;
  switch (result.status().code()) {
    case absl::StatusCode::kOk:
      outcome = result->chunks_fetched == 0 ? FetchOutcome::kPresent : FetchOutcome::kOk;
      break;
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kUnavailable:
      outcome = FetchOutcome::kUnavailable;
      break;
    case absl::StatusCode::kDeadlineExceeded:
      outcome = FetchOutcome::kDeadline;
      break;
    case absl::StatusCode::kFailedPrecondition:
      outcome = FetchOutcome::kRefused;
      break;
    default:
      break;
  }
  metrics_.CountFetch(outcome);
}

absl::Status SnapshotFetcher::Check(const v1::Manifest& manifest, const std::string& snapshot_id,
                                    const std::string& version_id) const {
  if (manifest.info().id() != snapshot_id || ManifestId(manifest) != snapshot_id) {
    return absl::DataLossError("its manifest is not that snapshot's");
  }
  RETURN_IF_ERROR(ValidateManifest(manifest));
  // From here on the manifest is the snapshot's own, so what is wrong with it is wrong at every holder.
  if (manifest.info().version_id() != version_id) {
    return absl::FailedPreconditionError(absl::StrCat("snapshot ", snapshot_id, " is of version ",
                                                      manifest.info().version_id(), ", not of ", version_id));
  }
  if (!options_.architecture.empty() && manifest.info().architecture() != options_.architecture) {
    return absl::FailedPreconditionError(absl::StrCat("snapshot ", snapshot_id, " was taken on ",
                                                      manifest.info().architecture(), " and can't run on this node's ",
                                                      options_.architecture));
  }
  return absl::OkStatus();
}

absl::StatusOr<FetchResult> SnapshotFetcher::FetchOnce(const std::string& snapshot_id, const std::string& version_id,
                                                       const std::vector<Holder>& holders, absl::Time deadline) {
  if (const auto here = store_.GetManifest(snapshot_id); here.ok()) {
    RETURN_IF_ERROR(Check(*here, snapshot_id, version_id));
    FetchResult present;
    present.chunks_present = ChunksOf(*here).size();
    return present;
  }
  std::optional<v1::Manifest> manifest;
  std::vector<std::string> chunks;
  FetchResult result;
  std::string tried;
  bool all_say_not_found = !holders.empty();
  for (int round = 0; round < kMaxRounds; ++round) {
    const std::size_t fetched_before = result.chunks_fetched;
    bool vanished = false;
    for (const Holder& holder : holders) {
      if (clock_.Now() >= deadline) return Timeout(snapshot_id, tried);
      const std::shared_ptr<Peer> peer = peers_.Connect(holder);
      const auto failed = [&](const absl::Status& status) {
        absl::StrAppend(&tried, tried.empty() ? ": " : "; ", "node ", holder.node_id, " (", holder.address, "): ",
                        status.message().empty() ? absl::StatusCodeToString(status.code()) : status.message());
        all_say_not_found &= absl::IsNotFound(status);
      };
      if (!manifest.has_value()) {
        auto got = peer->GetManifest(snapshot_id, std::min(deadline, clock_.Now() + options_.manifest_limit));
        const absl::Status status = got.ok() ? Check(*got, snapshot_id, version_id) : got.status();
        if (got.ok() && absl::IsFailedPrecondition(status)) return status;
        if (!status.ok()) {
          failed(status);
          continue;
        }
        manifest = *std::move(got);
        chunks = ChunksOf(*manifest);
      }
      std::vector<std::string> missing;
      for (const std::string& sha256 : chunks) {
        if (!store_.HasChunk(sha256)) missing.push_back(sha256);
      }
      if (round == 0 && result.chunks_fetched == 0) result.chunks_present = chunks.size() - missing.size();
      if (!missing.empty()) {
        // Before anything travels; what it shares with others here is thought to be as large as the rest.
        RETURN_IF_ERROR(store_.MakeRoom(manifest->info().stored_bytes() / chunks.size() * missing.size()));
        bool ours = false;
        const absl::Status status = FetchMissing(*peer, missing, deadline, &result, &ours);
        if (result.chunks_fetched > 0 && status.ok()) result.holder = holder.node_id;
        if (ours) return status;
        if (!status.ok()) {
          failed(status);
          continue;
        }
      }
      const absl::Status adopted = store_.Adopt(*manifest);
      if (adopted.ok()) return result;
      // A chunk that we shared with another snapshot went with that one: it is missing now.
      if (!absl::IsFailedPrecondition(adopted)) return adopted;
      vanished = true;
      break;
    }
    // Without any progress another round would only ask the same again.
    if (!vanished && result.chunks_fetched == fetched_before) break;
  }
  if (clock_.Now() >= deadline) return Timeout(snapshot_id, tried);
  if (all_say_not_found) {
    return WithReason(absl::NotFoundError(absl::StrCat("no node has snapshot ", snapshot_id, " any more", tried)),
                      reason::kSnapshotNotFound);
  }
  return absl::UnavailableError(absl::StrCat("snapshot ", snapshot_id, " can't be fetched",
                                             holders.empty() ? ": no other node holds it" : tried));
}

absl::Status SnapshotFetcher::FetchMissing(Peer& peer, const std::vector<std::string>& missing, absl::Time deadline,
                                           FetchResult* result, bool* ours) {
  // Even a small snapshot is read in as many streams as there are: the holder reads and we check in parallel.
  const std::size_t per_stream = (missing.size() + options_.streams - 1) / options_.streams;
  const std::size_t batch_size = std::clamp<std::size_t>(per_stream, 1, options_.max_batch);
  const std::size_t batches = (missing.size() + batch_size - 1) / batch_size;
  absl::Mutex mu;
  return work_.ForEach(batches, [&](std::size_t i) -> absl::Status {
    const auto begin = missing.begin() + static_cast<std::ptrdiff_t>(i * batch_size);
    const auto end = missing.begin() + static_cast<std::ptrdiff_t>(std::min((i + 1) * batch_size, missing.size()));
    const std::vector<std::string> batch(begin, end);
    absl::flat_hash_set<std::string> wanted(batch.begin(), batch.end());
    if (clock_.Now() >= deadline) return absl::DeadlineExceededError("out of time");
    const auto sink = [&](const std::string& sha256, absl::string_view data) -> absl::Status {
      if (wanted.erase(sha256) == 0) return absl::DataLossError(absl::StrCat("it sent chunk ", sha256, " unasked"));
      const absl::Status put = store_.PutChunk(sha256, data);
      absl::MutexLock lock(&mu);
      if (!put.ok()) {
        // What is damaged came so; anything else is our own disk's.
        *ours |= !absl::IsDataLoss(put);
        return put;
      }
      metrics_.AddReceived(TransferKind::kSnapshot, data.size());
      result->received_bytes += data.size();
      ++result->chunks_fetched;
      return absl::OkStatus();
    };
    RETURN_IF_ERROR(peer.ReadChunks(batch, sink, std::min(deadline, clock_.Now() + options_.batch_limit)));
    if (!wanted.empty()) return absl::DataLossError(absl::StrCat("it left out chunk ", *wanted.begin()));
    return absl::OkStatus();
  });
}

}  // namespace thaw::agent
