#ifndef THAW_AGENT_TRANSFER_PEER_H_
#define THAW_AGENT_TRANSFER_PEER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "thaw/agent/v1/manifest.pb.h"

namespace thaw::agent {

// An agent that has something we want.
struct Holder {
  std::string node_id;
  // host:port
  std::string address;
};

// Another agent, as one that gives snapshots and images. What it says is not believed: the caller checks all of it.
//
// Threads: any. Every method blocks until the peer is done or `deadline` has passed, so none may be called from a reactor.
// Errors are the peer's, or UNAVAILABLE when it can't be reached and DEADLINE_EXCEEDED when it is too slow.
class Peer {
 public:
  virtual ~Peer() = default;

  // NOT_FOUND when it has no whole copy.
  virtual absl::StatusOr<v1::Manifest> GetManifest(const std::string& snapshot_id, absl::Time deadline) = 0;

  // Calls `sink` with each chunk as it comes; stops at the sink's first error and returns it.
  virtual absl::Status ReadChunks(const std::vector<std::string>& chunks,
                                  absl::FunctionRef<absl::Status(const std::string& sha256, absl::string_view data)> sink,
                                  absl::Time deadline) = 0;

  // Calls `sink` with each part of the image's archive; stops at the sink's first error and returns it. Answers with the
  // SHA-256 that the peer gives for the whole, or "" when it gave none.
  virtual absl::StatusOr<std::string> ExportImage(const std::string& image_id,
                                                  absl::FunctionRef<absl::Status(absl::string_view)> sink,
                                                  absl::Time deadline) = 0;
};

// How to reach the others. Threads: any.
class Peers {
 public:
  virtual ~Peers() = default;
  virtual std::shared_ptr<Peer> Connect(const Holder& holder) = 0;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_TRANSFER_PEER_H_
