#include "agent/invoke/unix_function_dialer.h"

#include <poll.h>
#include <pthread.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <cstring>
#include <ctime>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "agent/invoke/conversation.h"
#include "agent/invoke/listener.h"
#include "common/status/reasons.h"

namespace thaw::agent {
namespace {

namespace asio = boost::asio;

constexpr absl::Duration kAliveEvery = absl::Milliseconds(20);
// Where the kernel has no inotify instance left (there are few per user), looking often must do.
constexpr absl::Duration kPollEvery = absl::Milliseconds(2);

}  // namespace

// The connections that there are, to be ended with their dialer.
class UnixFunctionDialer::Open {
 public:
  void Add(const std::shared_ptr<Conversation>& conversation) ABSL_LOCKS_EXCLUDED(mu_) {
    {
      absl::MutexLock lock(&mu_);
      if (!closed_) {
        conversations_.emplace(conversation.get(), conversation);
        return;
      }
    }
    conversation->End();
  }
  void Remove(const std::shared_ptr<Conversation>& conversation) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    conversations_.erase(conversation.get());
  }
  void Close() ABSL_LOCKS_EXCLUDED(mu_) {
    std::map<Conversation*, std::weak_ptr<Conversation>> conversations;
    {
      absl::MutexLock lock(&mu_);
      closed_ = true;
      conversations.swap(conversations_);
    }
    for (const auto& [key, weak] : conversations) {
      if (const auto conversation = weak.lock()) conversation->End();
    }
  }
  bool closed() const ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    return closed_;
  }

 private:
  mutable absl::Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  std::map<Conversation*, std::weak_ptr<Conversation>> conversations_ ABSL_GUARDED_BY(mu_);
};

namespace {

class UnixFunctionConnection final : public FunctionConnection {
 public:
  UnixFunctionConnection(std::shared_ptr<Conversation> conversation,
                         absl::AnyInvocable<void(const std::shared_ptr<Conversation>&)> gone)
      : conversation_(std::move(conversation)), gone_(std::move(gone)) {}
  ~UnixFunctionConnection() override {
    conversation_->Close();
    gone_(conversation_);
  }

  void Call(FunctionRequest request, Done done) override {
    conversation_->Call(std::move(request), std::move(done));
  }
  void Close() override { conversation_->Close(); }

 private:
  const std::shared_ptr<Conversation> conversation_;
  absl::AnyInvocable<void(const std::shared_ptr<Conversation>&)> gone_;
};

// Tells when an entry `lsnr.sock` may have come into a directory.
class ListenerWatch {
 public:
  explicit ListenerWatch(const std::string& dir) : inotify_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    watching_ = inotify_.get() >= 0 &&
                ::inotify_add_watch(inotify_.get(), dir.c_str(), IN_CREATE | IN_MOVED_TO | IN_ONLYDIR) >= 0;
  }

  // Returns after `longest` at the latest.
  void Wait(absl::Duration longest) {
    if (!watching_) {
      absl::SleepFor(std::min(longest, kPollEvery));
      return;
    }
    const timespec wait = absl::ToTimespec(longest);
    pollfd polled{inotify_.get(), POLLIN, 0};
    if (::ppoll(&polled, 1, &wait, nullptr) <= 0) return;
    alignas(inotify_event) char events[16384];
    bool named = false;
    const ssize_t got = ::read(inotify_.get(), events, sizeof(events));
    for (ssize_t at = 0; at + static_cast<ssize_t>(sizeof(inotify_event)) <= got;) {
      const auto* const event = reinterpret_cast<const inotify_event*>(events + at);
      named |= event->len > 0 && std::strcmp(event->name, "lsnr.sock") == 0;
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
    }
    // A function that makes other files without end gets no more of our time than this.
    if (!named) absl::SleepFor(std::min(longest, absl::Milliseconds(1)));
  }

 private:
  const OwnedFd inotify_;
  bool watching_ = false;
};

}  // namespace

class UnixFunctionDialer::IoThreads {
 public:
  explicit IoThreads(std::size_t count) {
    for (std::size_t i = 0; i < std::max<std::size_t>(count, 1); ++i) {
      // One thread per context, so that a connection's handlers never wait for each other's lock.
      loops_.push_back(std::make_unique<Loop>());
      Loop& loop = *loops_.back();
      loop.thread = std::thread([&loop] { loop.io.run(); });
      pthread_setname_np(loop.thread.native_handle(), "function-io");
    }
  }

  // Once all conversations have ended: then nothing is waited for but what has been posted.
  void Join() {
    // No stop(): the last `done`s still run.
    for (auto& loop : loops_) loop->work.reset();
    for (auto& loop : loops_) {
      if (loop->thread.joinable()) loop->thread.join();
    }
    // One thread's `done` may have begun a call of another's, which had ended by then.
    std::size_t ran = 1;
    while (ran > 0) {
      ran = 0;
      for (auto& loop : loops_) {
        loop->io.restart();
        ran += loop->io.poll();
      }
    }
  }

  asio::io_context& Next() { return loops_[next_.fetch_add(1, std::memory_order_relaxed) % loops_.size()]->io; }

 private:
  struct Loop {
    asio::io_context io{1};
    asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
    std::thread thread;
  };

  std::vector<std::unique_ptr<Loop>> loops_;
  std::atomic<std::size_t> next_{0};
};

UnixFunctionDialer::UnixFunctionDialer(Options options)
    : options_(std::move(options)),
      io_(std::make_unique<IoThreads>(options_.threads)),
      open_(std::make_shared<Open>()) {}

UnixFunctionDialer::~UnixFunctionDialer() {
  Close();
  Join();
}

void UnixFunctionDialer::Close() { open_->Close(); }

void UnixFunctionDialer::Join() { io_->Join(); }

std::unique_ptr<FunctionConnection> UnixFunctionDialer::NewConnection(const std::string& iofs_dir) {
  auto conversation = std::make_shared<Conversation>(io_->Next(), iofs_dir, options_.limits);
  open_->Add(conversation);
  return std::make_unique<UnixFunctionConnection>(
      std::move(conversation),
      [open = open_](const std::shared_ptr<Conversation>& gone) { open->Remove(gone); });
}

absl::Status UnixFunctionDialer::AwaitListener(const std::string& iofs_dir, absl::Time deadline,
                                               absl::AnyInvocable<bool()> alive) {
  // The watch comes before the first look, so that no socket is missed between the two.
  ListenerWatch watch(iofs_dir);
  while (true) {
    const auto listener = OpenListener(iofs_dir);
    if (!absl::IsNotFound(listener.status())) return listener.status();
    if (open_->closed()) return absl::CancelledError("the agent is stopping; the function is not waited for");
    if (!alive()) {
      return WithReason(absl::InternalError("the function ended before it listened; its log tells why"),
                        reason::kFunctionExited);
    }
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) {
      return WithReason(
          absl::DeadlineExceededError(absl::StrCat("the function did not listen in time (", listener.status().message(),
                                                   "); does its image use an FDK that speaks http-stream?")),
          reason::kFunctionNeverListened);
    }
    watch.Wait(std::min(left, kAliveEvery));
  }
}

}  // namespace thaw::agent
