#ifndef THAW_TESTS_FAKES_FAKE_SLOTS_H_
#define THAW_TESTS_FAKES_FAKE_SLOTS_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "agent/instance/slot_init.h"
#include "agent/pool/slot.h"

namespace thaw::testing {

// An init that does what it is told, remembers it, and fails on command. Threads: any.
class FakeSlotInit final : public agent::SlotInit {
 public:
  // What the test and the slot's owner both see.
  struct Control {
    explicit Control(bool wishes = false) : wishes_at_once(wishes) {}

    absl::Mutex mu;
    EventHandler handler ABSL_GUARDED_BY(mu);
    agent::InitStatus status ABSL_GUARDED_BY(mu);
    std::vector<std::string> orders ABSL_GUARDED_BY(mu);
    absl::Status start_result ABSL_GUARDED_BY(mu);
    absl::Status dump_result ABSL_GUARDED_BY(mu);
    absl::Status restore_result ABSL_GUARDED_BY(mu);
    absl::Status reset_result ABSL_GUARDED_BY(mu);
    agent::StartOrder last_start ABSL_GUARDED_BY(mu);
    agent::RestoreOrder last_restore ABSL_GUARDED_BY(mu);
    agent::DumpOrder last_dump ABSL_GUARDED_BY(mu);
    std::vector<agent::ProcessRandomness> randomness ABSL_GUARDED_BY(mu);
    absl::Status randomness_result ABSL_GUARDED_BY(mu);
    agent::Given last_given ABSL_GUARDED_BY(mu);
    absl::Status give_result ABSL_GUARDED_BY(mu);
    // What a look finds.
    std::vector<thaw::common::v1::Finding> findings ABSL_GUARDED_BY(mu);
    absl::Status look_result ABSL_GUARDED_BY(mu);
    // The function wishes for a checkpoint the moment that somebody listens.
    bool wishes_at_once ABSL_GUARDED_BY(mu);

    void Tell(const agent::InitEvent& event) ABSL_LOCKS_EXCLUDED(mu) {
      EventHandler told;
      {
        absl::MutexLock lock(&mu);
        std::swap(told, handler);
      }
      if (told) told(event);
      absl::MutexLock lock(&mu);
      if (!handler) std::swap(told, handler);
    }
    std::vector<std::string> Orders() ABSL_LOCKS_EXCLUDED(mu) {
      absl::MutexLock lock(&mu);
      return orders;
    }
  };

  explicit FakeSlotInit(std::shared_ptr<Control> control) : control_(std::move(control)) {}

  void SetEventHandler(EventHandler handler) override {
    bool wishes = false;
    {
      absl::MutexLock lock(&control_->mu);
      control_->handler = std::move(handler);
      if (control_->handler) wishes = std::exchange(control_->wishes_at_once, false);
    }
    if (!wishes) return;
    agent::InitEvent wish;
    wish.kind = agent::InitEvent::Kind::kCheckpointWished;
    control_->Tell(wish);
  }
  absl::StatusOr<agent::InitStatus> GetStatus(absl::Duration) override {
    absl::MutexLock lock(&control_->mu);
    return control_->status;
  }
  absl::StatusOr<int> Start(const agent::StartOrder& order, absl::Duration) override {
    absl::MutexLock lock(&control_->mu);
    control_->orders.push_back("start");
    control_->last_start = order;
    if (!control_->start_result.ok()) return control_->start_result;
    control_->status.state = agent::InitStatus::State::kRunning;
    control_->status.instance_id = order.instance_id;
    control_->status.meta = order.meta;
    return 10001;
  }
  absl::StatusOr<agent::DumpReport> Save(const std::string& dir, absl::Duration) override {
    absl::MutexLock lock(&control_->mu);
    control_->orders.push_back(absl::StrCat("save ", dir));
    if (!control_->dump_result.ok()) return control_->dump_result;
    return agent::DumpReport();
  }
  absl::StatusOr<std::vector<thaw::common::v1::Finding>> Look(absl::Duration) override {
    absl::MutexLock lock(&control_->mu);
    if (!control_->look_result.ok()) return control_->look_result;
    return control_->findings;
  }
  absl::StatusOr<agent::DumpReport> Dump(const agent::DumpOrder& order) override {
    absl::MutexLock lock(&control_->mu);
    control_->last_dump = order;
    control_->orders.push_back(absl::StrCat("dump ", order.dir));
    control_->last_dump = order;
    if (!control_->dump_result.ok()) return control_->dump_result;
    agent::DumpReport report;
    report.resume_marker = "resume-1";
    report.stdout_pipe = "pipe:[1]";
    report.stderr_pipe = "pipe:[2]";
    report.uid = report.gid = 1000;
    return report;
  }
  absl::StatusOr<std::vector<agent::ProcessRandomness>> Randomness(absl::Duration) override {
    absl::MutexLock lock(&control_->mu);
    if (!control_->randomness_result.ok()) return control_->randomness_result;
    return control_->randomness;
  }
  absl::Status Resume(absl::string_view why_not, absl::Duration) override {
    absl::MutexLock lock(&control_->mu);
    control_->orders.push_back(why_not.empty() ? "resume" : absl::StrCat("resume: ", why_not));
    return absl::OkStatus();
  }
  absl::Status Refuse(absl::string_view why, absl::Duration) override {
    absl::MutexLock lock(&control_->mu);
    control_->orders.push_back(absl::StrCat("refuse: ", why));
    return absl::OkStatus();
  }
  absl::StatusOr<int> Restore(const agent::RestoreOrder& order) override {
    absl::MutexLock lock(&control_->mu);
    control_->orders.push_back(absl::StrCat("restore ", order.dir));
    control_->last_restore = order;
    if (!control_->restore_result.ok()) return control_->restore_result;
    control_->status.state = agent::InitStatus::State::kRunning;
    control_->status.instance_id = order.instance_id;
    control_->status.meta = order.meta;
    return 10001;
  }
  absl::Status Give(const agent::Given& given, absl::Duration) override {
    absl::MutexLock lock(&control_->mu);
    control_->orders.push_back("give");
    if (!control_->give_result.ok()) return control_->give_result;
    control_->last_given = given;
    control_->status.sealed = control_->status.sealed || given.sealed;
    return absl::OkStatus();
  }
  absl::Status Kill(const std::string& signal, absl::Duration) override {
    absl::MutexLock lock(&control_->mu);
    control_->orders.push_back(absl::StrCat("kill ", signal));
    control_->status.state = agent::InitStatus::State::kEmpty;
    return absl::OkStatus();
  }
  absl::Status Reset(absl::Duration) override {
    absl::MutexLock lock(&control_->mu);
    control_->orders.push_back("reset");
    if (!control_->reset_result.ok()) return control_->reset_result;
    control_->status = agent::InitStatus();
    return absl::OkStatus();
  }

 private:
  const std::shared_ptr<Control> control_;
};

// Makes slots with fake inits, below `root` for their directories' names. Threads: any.
class FakeSlotFactory final : public agent::SlotFactory {
 public:
  explicit FakeSlotFactory(std::string root = "/nowhere") : root_(std::move(root)) {}

  absl::StatusOr<std::unique_ptr<agent::Slot>> Create(const agent::VersionState& version, absl::Time) override {
    absl::MutexLock lock(&mu_);
    if (!create_result_.ok()) return create_result_;
    auto control = std::make_shared<FakeSlotInit::Control>(wish_at_once_);
    controls_.push_back(control);
    const std::string id = absl::StrCat("slot", controls_.size());
    ++alive_;
    return std::make_unique<agent::Slot>(id, absl::StrCat("container-", id), version.spec().version_id(),
                                         absl::StrCat(root_, "/", id, "/iofs"), absl::StrCat(root_, "/", id, "/ctl"),
                                         std::make_unique<FakeSlotInit>(control));
  }
  void Destroy(std::unique_ptr<agent::Slot> slot) override {
    slot.reset();
    absl::MutexLock lock(&mu_);
    --alive_;
  }

  void FailCreates(absl::Status status) {
    absl::MutexLock lock(&mu_);
    create_result_ = std::move(status);
  }
  // Functions in slots made from now on wish for a checkpoint as soon as somebody listens.
  void WishAtOnce() {
    absl::MutexLock lock(&mu_);
    wish_at_once_ = true;
  }
  int created() const {
    absl::MutexLock lock(&mu_);
    return static_cast<int>(controls_.size());
  }
  int alive() const {
    absl::MutexLock lock(&mu_);
    return alive_;
  }
  std::shared_ptr<FakeSlotInit::Control> control(std::size_t index) const {
    absl::MutexLock lock(&mu_);
    return controls_.at(index);
  }

 private:
  const std::string root_;
  mutable absl::Mutex mu_;
  absl::Status create_result_ ABSL_GUARDED_BY(mu_);
  bool wish_at_once_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::shared_ptr<FakeSlotInit::Control>> controls_ ABSL_GUARDED_BY(mu_);
  int alive_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace thaw::testing

#endif  // THAW_TESTS_FAKES_FAKE_SLOTS_H_
