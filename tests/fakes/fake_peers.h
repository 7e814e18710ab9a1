#ifndef THAW_TESTS_FAKES_FAKE_PEERS_H_
#define THAW_TESTS_FAKES_FAKE_PEERS_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "agent/container/runtime.h"
#include "agent/snapshot/store.h"
#include "agent/transfer/peer.h"
#include "common/clock/clock.h"
#include "common/crypto/sha256.h"
#include "common/status/status_macros.h"

namespace thaw::testing {

// Other agents without a network: each gives what is in its store and its engine, and can be made to fail, lie or stall.
// Threads: any; arranging while a call runs is allowed.
class FakePeers final : public agent::Peers {
 public:
  struct Faults {
    // As if nobody listened.
    bool unreachable = false;
    // Gives so many chunks (or parts of an image), of all streams together, then breaks off with UNAVAILABLE. It stays dead.
    int dies_after = -1;
    // Flips a byte in the nth chunk (part), counted from 0.
    int flips_nth = -1;
    // Sends another chunk's bytes under the name asked for.
    bool swaps_chunks = false;
    // Ends each stream well, one chunk (part) early.
    bool leaves_out_last = false;
    // What it says of the manifest.
    std::function<void(agent::v1::Manifest*)> lie = nullptr;
    // As if nothing had come until the caller's deadline; no time passes.
    bool stalls = false;
    // Called before each chunk (part).
    std::function<void()> before_each = nullptr;
    // Ends its image with this digest instead of the right one.
    std::string image_sha256 = "";
  };

  // Whose deadlines pass.
  explicit FakePeers(const Clock* clock = nullptr) : clock_(clock) {}

  // Both may be null: then this peer has none.
  void Add(const std::string& address, agent::SnapshotStore* store, agent::ContainerRuntime* runtime = nullptr) {
    absl::MutexLock lock(&mu_);
    peers_[address] = std::make_shared<State>();
    peers_[address]->store = store;
    peers_[address]->runtime = runtime;
  }
  void SetFaults(const std::string& address, Faults faults) {
    const std::shared_ptr<State> state = Find(address);
    absl::MutexLock lock(&state->mu);
    state->faults = std::move(faults);
    state->given = 0;
  }
  // Chunks (parts) that the peer has given, and calls that it got.
  int Given(const std::string& address) {
    const std::shared_ptr<State> state = Find(address);
    absl::MutexLock lock(&state->mu);
    return state->given;
  }
  int Calls(const std::string& address) {
    const std::shared_ptr<State> state = Find(address);
    absl::MutexLock lock(&state->mu);
    return state->calls;
  }

  std::shared_ptr<agent::Peer> Connect(const agent::Holder& holder) override {
    return std::make_shared<FakePeer>(Find(holder.address), clock_);
  }

 private:
  struct State {
    agent::SnapshotStore* store = nullptr;
    agent::ContainerRuntime* runtime = nullptr;
    absl::Mutex mu;
    Faults faults ABSL_GUARDED_BY(mu);
    int given ABSL_GUARDED_BY(mu) = 0;
    int calls ABSL_GUARDED_BY(mu) = 0;
  };

  class FakePeer final : public agent::Peer {
   public:
    FakePeer(std::shared_ptr<State> state, const Clock* clock) : state_(std::move(state)), clock_(clock) {}

    absl::StatusOr<agent::v1::Manifest> GetManifest(const std::string& snapshot_id, absl::Time deadline) override {
      ASSIGN_OR_RETURN(const Faults faults, Begin(deadline));
      if (state_->store == nullptr) return absl::NotFoundError(absl::StrCat("no whole snapshot ", snapshot_id));
      ASSIGN_OR_RETURN(agent::v1::Manifest manifest, state_->store->GetManifest(snapshot_id));
      if (faults.lie) faults.lie(&manifest);
      return manifest;
    }

    absl::Status ReadChunks(const std::vector<std::string>& chunks,
                            absl::FunctionRef<absl::Status(const std::string&, absl::string_view)> sink,
                            absl::Time deadline) override {
      ASSIGN_OR_RETURN(const Faults faults, Begin(deadline));
      for (std::size_t i = 0; i < chunks.size(); ++i) {
        if (faults.leaves_out_last && i + 1 == chunks.size()) break;
        if (faults.before_each) faults.before_each();
        if (Late(deadline)) return absl::DeadlineExceededError("Deadline Exceeded");
        const std::string& source = faults.swaps_chunks ? chunks[(i + 1) % chunks.size()] : chunks[i];
        ASSIGN_OR_RETURN(std::string data, state_->store->ReadChunk(source));
        RETURN_IF_ERROR(Give(faults, &data));
        RETURN_IF_ERROR(sink(chunks[i], data));
      }
      return absl::OkStatus();
    }

    absl::StatusOr<std::string> ExportImage(const std::string& image_id,
                                            absl::FunctionRef<absl::Status(absl::string_view)> sink,
                                            absl::Time deadline) override {
      ASSIGN_OR_RETURN(const Faults faults, Begin(deadline));
      if (state_->runtime == nullptr) return absl::NotFoundError(absl::StrCat("no image ", image_id));
      std::vector<std::string> parts;
      RETURN_IF_ERROR(state_->runtime->ExportImage(
          image_id,
          [&](absl::string_view part) {
            parts.emplace_back(part);
            return absl::OkStatus();
          },
          deadline));
      Sha256 hash;
      for (std::size_t i = 0; i < parts.size(); ++i) {
        hash.Update(parts[i]);
        if (faults.leaves_out_last && i + 1 == parts.size()) break;
        if (faults.before_each) faults.before_each();
        if (Late(deadline)) return absl::DeadlineExceededError("Deadline Exceeded");
        RETURN_IF_ERROR(Give(faults, &parts[i]));
        RETURN_IF_ERROR(sink(parts[i]));
      }
      const std::string sha256 = hash.FinishHex();
      return faults.image_sha256.empty() ? sha256 : faults.image_sha256;
    }

   private:
    absl::StatusOr<Faults> Begin(absl::Time deadline) {
      absl::MutexLock lock(&state_->mu);
      ++state_->calls;
      const Faults& faults = state_->faults;
      if (faults.unreachable || (faults.dies_after >= 0 && state_->given >= faults.dies_after)) {
        return absl::UnavailableError("connection refused");
      }
      if (faults.stalls || Late(deadline)) return absl::DeadlineExceededError("Deadline Exceeded");
      return faults;
    }

    absl::Status Give(const Faults& faults, std::string* data) {
      absl::MutexLock lock(&state_->mu);
      if (faults.dies_after >= 0 && state_->given >= faults.dies_after) return absl::UnavailableError("Socket closed");
      if (state_->given++ == faults.flips_nth) (*data)[data->size() / 2] ^= 1;
      return absl::OkStatus();
    }

    bool Late(absl::Time deadline) const { return (clock_ != nullptr ? clock_->Now() : absl::Now()) >= deadline; }

    const std::shared_ptr<State> state_;
    const Clock* const clock_;
  };

  std::shared_ptr<State> Find(const std::string& address) {
    absl::MutexLock lock(&mu_);
    std::shared_ptr<State>& state = peers_[address];
    if (state == nullptr) {
      state = std::make_shared<State>();
      absl::MutexLock state_lock(&state->mu);
      state->faults.unreachable = true;
    }
    return state;
  }

  const Clock* const clock_;
  absl::Mutex mu_;
  std::map<std::string, std::shared_ptr<State>> peers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_FAKES_FAKE_PEERS_H_
