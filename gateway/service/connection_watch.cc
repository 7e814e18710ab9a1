#include "gateway/service/connection_watch.h"

#include <grpcpp/channel.h>
#include <grpcpp/completion_queue.h>

#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace thaw::gateway {
namespace {

struct Waiting {
  std::shared_ptr<grpc::Channel> channel;
  absl::Time deadline;
  absl::AnyInvocable<void(absl::Status)> done;
  // An attempt has been under way since this began to wait.
  bool attempted = false;
};

}  // namespace

struct ConnectionWatch::State {
  // Finishes `waiting`, or has the queue say when its channel's state changes.
  void Look(std::unique_ptr<Waiting> waiting) ABSL_LOCKS_EXCLUDED(mu) {
    const grpc_connectivity_state channel_state = waiting->channel->GetState(/*try_to_connect=*/true);
    absl::Status end;
    const bool old_failure = channel_state == GRPC_CHANNEL_TRANSIENT_FAILURE && !waiting->attempted;
    waiting->attempted = true;
    // A failure from before is no news of now: a node that has just come back is in the pause between two attempts.
    if (old_failure) grpc::experimental::ChannelResetConnectionBackoff(waiting->channel.get());
    if (channel_state == GRPC_CHANNEL_TRANSIENT_FAILURE && !old_failure) {
      end = absl::UnavailableError("it refuses connections, or can't be reached");
    } else if (old_failure || channel_state == GRPC_CHANNEL_IDLE || channel_state == GRPC_CHANNEL_CONNECTING) {
      absl::MutexLock lock(&mu);
      if (!stopping) {
        const auto deadline = absl::ToChronoTime(waiting->deadline);
        Waiting* tag = waiting.release();
        tag->channel->NotifyOnStateChange(channel_state, deadline, &queue, tag);
        return;
      }
      end = absl::UnavailableError("the gateway is stopping");
    } else if (channel_state == GRPC_CHANNEL_SHUTDOWN) {
      end = absl::UnavailableError("the connection is shut down");
    }
    waiting->done(std::move(end));
  }

  void Run() {
    void* tag = nullptr;
    bool changed = false;
    while (queue.Next(&tag, &changed)) {
      std::unique_ptr<Waiting> waiting(static_cast<Waiting*>(tag));
      if (changed) {
        Look(std::move(waiting));
      } else {
        waiting->done(absl::DeadlineExceededError("no connection in time"));
      }
    }
  }

  grpc::CompletionQueue queue;
  std::thread thread;
  absl::Mutex mu;
  // No more is put into the queue: it shuts down.
  bool stopping ABSL_GUARDED_BY(mu) = false;
};

ConnectionWatch::ConnectionWatch() : state_(std::make_unique<State>()) {
  state_->thread = std::thread([state = state_.get()] { state->Run(); });
}

ConnectionWatch::~ConnectionWatch() {
  {
    absl::MutexLock lock(&state_->mu);
    state_->stopping = true;
  }
  state_->queue.Shutdown();
  state_->thread.join();
}

bool ConnectionWatch::Ready(grpc::Channel& channel) { return channel.GetState(false) == GRPC_CHANNEL_READY; }

void ConnectionWatch::Await(std::shared_ptr<grpc::Channel> channel, absl::Time deadline,
                            absl::AnyInvocable<void(absl::Status)> done) {
  auto waiting = std::make_unique<Waiting>();
  waiting->channel = std::move(channel);
  waiting->deadline = deadline;
  waiting->done = std::move(done);
  state_->Look(std::move(waiting));
}

}  // namespace thaw::gateway
