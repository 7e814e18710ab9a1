#include "agent/transfer/image_fetcher.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agent/transfer/archive_check.h"
#include "agent/transfer/byte_pipe.h"
#include "common/crypto/sha256.h"
#include "common/status/reasons.h"
#include "common/status/status_macros.h"

namespace thaw::agent {
namespace {

// Parts of at most 1 MiB that may wait between the network and the engine.
constexpr std::size_t kQueuedParts = 8;

// The engine leaves the default tag away where it may.
bool HasTag(const ImageInfo& image, const std::string& reference) {
  const auto& tags = image.tags;
  return std::find(tags.begin(), tags.end(), reference) != tags.end() ||
         std::find(tags.begin(), tags.end(), absl::StrCat(reference, ":latest")) != tags.end();
}

}  // namespace

bool NamesRegistry(absl::string_view reference) {
  const auto slash = reference.find('/');
  if (slash == absl::string_view::npos) return false;
  const absl::string_view first = reference.substr(0, slash);
  return first == "localhost" || absl::StrContains(first, '.') || absl::StrContains(first, ':');
}

absl::StatusOr<ImageFetcher::Result> ImageFetcher::EnsureImage(const std::string& image_id, const std::string& reference,
                                                               const std::vector<Holder>& holders, absl::Time deadline) {
  return flights_.Do(image_id, deadline, [&]() -> absl::StatusOr<Result> {
    ASSIGN_OR_RETURN(Result result, EnsureOnce(image_id, reference, holders, deadline));
    if (!reference.empty() && !HasTag(result.image, reference)) {
      RETURN_IF_ERROR(runtime_.TagImage(image_id, reference, deadline));
      result.image.tags.push_back(reference);
    }
    return result;
  });
}

absl::StatusOr<ImageFetcher::Result> ImageFetcher::EnsureOnce(const std::string& image_id, const std::string& reference,
                                                              const std::vector<Holder>& holders, absl::Time deadline) {
  Result result;
  absl::StatusOr<ImageInfo> here = runtime_.InspectImage(image_id, deadline);
  if (here.ok()) {
    result.image = *std::move(here);
    return result;
  }
  if (!absl::IsNotFound(here.status())) return here.status();

  std::string tried;
  bool maybe_later = false;
  const auto failed = [&](absl::string_view who, const absl::Status& status) {
    absl::StrAppend(&tried, tried.empty() ? "" : "; ", who, ": ",
                    status.message().empty() ? absl::StatusCodeToString(status.code()) : status.message());
    maybe_later |= absl::IsUnavailable(status) || absl::IsResourceExhausted(status) || absl::IsDeadlineExceeded(status) ||
                   absl::IsDataLoss(status) || absl::IsCancelled(status);
  };
  const auto out_of_time = [&] {
    return WithReason(absl::DeadlineExceededError(absl::StrCat("image ", reference, " (", image_id,
                                                               ") could not be had in time; ", tried)),
                      reason::kImageUnavailable);
  };
  for (const Holder& holder : holders) {
    if (absl::Now() >= deadline) return out_of_time();
    absl::Status status = Import(image_id, holder, deadline, &result.received_bytes);
    if (status.ok()) {
      here = runtime_.InspectImage(image_id, deadline);
      if (here.ok()) {
        result.image = *std::move(here);
        result.from = Result::From::kPeer;
        result.holder = holder.node_id;
        return result;
      }
      status = here.status();
    }
    // The engine here is as unwilling for the next holder's copy.
    if (ReasonOf(status) == reason::kEngineUnavailable || ReasonOf(status) == reason::kDiskFull) return status;
    failed(absl::StrCat("node ", holder.node_id, " (", holder.address, ")"), status);
  }
  if (NamesRegistry(reference)) {
    if (absl::Now() >= deadline) return out_of_time();
    absl::Status status = runtime_.PullImage(reference, deadline);
    if (status.ok()) {
      here = runtime_.InspectImage(image_id, deadline);
      if (here.ok()) {
        result.image = *std::move(here);
        result.from = Result::From::kRegistry;
        return result;
      }
      status = absl::IsNotFound(here.status())
                   ? absl::FailedPreconditionError("what it has under that name now is another image")
                   : here.status();
    }
    if (ReasonOf(status) == reason::kEngineUnavailable) return status;
    failed("the registry", status);
  }
  if (absl::Now() >= deadline) return out_of_time();
  const std::string message = absl::StrCat(
      "image ", reference, " (", image_id, ") can't be had: ",
      tried.empty() ? "no other node has it and its name names no registry" : tried,
      "; deploy the function again, or load the image into this node's engine");
  return WithReason(maybe_later ? absl::UnavailableError(message) : absl::FailedPreconditionError(message),
                    reason::kImageUnavailable);
}

absl::Status ImageFetcher::Import(const std::string& image_id, const Holder& holder, absl::Time deadline,
                                  std::uint64_t* received) {
  // Two blocking calls face each other: the peer pushes, the engine pulls.
  BytePipe pipe(kQueuedParts);
  std::uint64_t bytes = 0;
  std::thread reader([&] {
    Sha256 hash;
    ArchiveCheck check(image_id);
    absl::StatusOr<std::string> sha256 = peers_.Connect(holder)->ExportImage(
        image_id,
        [&](absl::string_view part) -> absl::Status {
          hash.Update(part);
          RETURN_IF_ERROR(check.Update(part));
          bytes += part.size();
          metrics_.AddReceived(TransferKind::kImage, part.size());
          return pipe.Write(std::string(part), deadline);
        },
        deadline);
    absl::Status status = sha256.status();
    if (status.ok() && *sha256 != hash.FinishHex()) {
      status = absl::DataLossError(sha256->empty() ? "the archive came without its SHA-256"
                                                   : "the archive's SHA-256 is not the one announced");
    }
    if (status.ok()) status = check.Finish();
    // The engine loads at the end of the stream: without a good end, nothing is kept.
    pipe.Finish(status);
  });
  const absl::Status imported = runtime_.ImportImage([&] { return pipe.Read(deadline); }, deadline);
  pipe.Abandon(imported.ok() ? absl::CancelledError("the engine wants no more of the archive") : imported);
  reader.join();
  *received += bytes;
  return imported;
}

}  // namespace thaw::agent
