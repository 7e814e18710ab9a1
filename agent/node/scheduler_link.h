#ifndef THAW_AGENT_NODE_SCHEDULER_LINK_H_
#define THAW_AGENT_NODE_SCHEDULER_LINK_H_

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "agent/metrics.h"
#include "agent/pool/version_state.h"
#include "common/executor/executor.h"
#include "common/rpc/client.h"
#include "spdlog/logger.h"
#include "thaw/scheduler/v1/scheduler.pb.h"

namespace thaw::agent {

// Who acts on the scheduler's words. Called one at a time, on threads of gRPC's: must not block.
class SchedulerCommands {
 public:
  virtual ~SchedulerCommands() = default;
  // What this node is and has, for a new stream.
  virtual thaw::scheduler::v1::Register MakeRegister() = 0;
  virtual thaw::scheduler::v1::Heartbeat MakeHeartbeat() = 0;
  // The stream is open. What the node has of versions that are not among these is of the past.
  virtual void OnConnected(const std::vector<std::string>& live_versions) = 0;
  virtual void OnVersionState(const VersionState& state) = 0;
  virtual void OnVersionRemoved(const std::string& version_id) = 0;
  virtual void OnCheckpointGrant(const thaw::scheduler::v1::CheckpointGrant& grant) = 0;
  virtual void OnRemoveSnapshot(const std::string& snapshot_id) = 0;
};

// This node's membership: one stream to the scheduler, opened again (with a growing pause of at most 2 s) whenever it
// ends. Calls go on meanwhile with what is known.
//
// Threads: any.
class SchedulerLink {
 public:
  struct Options {
    std::string address;
    // This node's.
    std::string node_id;
    absl::Duration first_pause = absl::Milliseconds(100);
    absl::Duration longest_pause = absl::Seconds(2);
    // Messages that wait while the stream is down or slow; older ones than that are dropped, as the registration of the
    // next stream says the same.
    std::size_t max_queued = 1000;
  };

  SchedulerLink(const Options& options, std::shared_ptr<ChannelPool> channels, SchedulerCommands& commands, Timers& timers,
                AgentMetrics& metrics, std::shared_ptr<spdlog::logger> log);
  // As Stop().
  ~SchedulerLink();

  void Start();
  // Says that the node is draining; the stream stays open.
  void Drain() ABSL_LOCKS_EXCLUDED(mu_);
  // Ends the stream and returns when no command is running any more.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

  // Queued for the open stream; dropped when there is none, but for results, which wait for the next.
  void Send(thaw::scheduler::v1::NodeMessage message) ABSL_LOCKS_EXCLUDED(mu_);

  // Whether the scheduler has welcomed this node on the stream that is open.
  bool connected() const ABSL_LOCKS_EXCLUDED(mu_);

  // For a call that was faster than the version's news. NOT_FOUND when the scheduler does not know it.
  void GetVersion(const std::string& version_id, absl::Time deadline,
                  absl::AnyInvocable<void(absl::StatusOr<VersionState>)> done);

 private:
  class Stream;

  void Open() ABSL_LOCKS_EXCLUDED(mu_);
  void OnStreamDone(Stream* stream, const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);
  void Handle(Stream* stream, const thaw::scheduler::v1::SchedulerMessage& message);
  void Beat(std::weak_ptr<Stream> stream, absl::Duration interval) ABSL_LOCKS_EXCLUDED(mu_);

  const Options options_;
  const std::shared_ptr<ChannelPool> channels_;
  SchedulerCommands& commands_;
  Timers& timers_;
  AgentMetrics& metrics_;
  const std::shared_ptr<spdlog::logger> log_;

  mutable absl::Mutex mu_;
  std::shared_ptr<Stream> stream_ ABSL_GUARDED_BY(mu_);
  std::deque<thaw::scheduler::v1::NodeMessage> waiting_ ABSL_GUARDED_BY(mu_);
  absl::Duration pause_ ABSL_GUARDED_BY(mu_);
  bool connected_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  int streams_alive_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_NODE_SCHEDULER_LINK_H_
