#ifndef THAW_SCHEDULER_STORE_METERED_STORE_H_
#define THAW_SCHEDULER_STORE_METERED_STORE_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock/clock.h"
#include "scheduler/metrics.h"
#include "scheduler/store/store.h"

namespace thaw::scheduler {

// Times another store. Neither is owned.
class MeteredStore final : public Store {
 public:
  MeteredStore(Store& inner, SchedulerMetrics& metrics, const Clock& clock)
      : inner_(inner), metrics_(metrics), clock_(clock) {}

  absl::StatusOr<StoreContents> Load() override {
    const absl::Time start = clock_.Now();
    auto contents = inner_.Load();
    metrics_.StoreOperationEnded(StoreOperation::kLoad, clock_.Now() - start, contents.ok());
    return contents;
  }
  absl::Status Apply(const WriteBatch& batch) override {
    const absl::Time start = clock_.Now();
    absl::Status status = inner_.Apply(batch);
    metrics_.StoreOperationEnded(StoreOperation::kApply, clock_.Now() - start, status.ok());
    return status;
  }

 private:
  Store& inner_;
  SchedulerMetrics& metrics_;
  const Clock& clock_;
};

}  // namespace thaw::scheduler

#endif  // THAW_SCHEDULER_STORE_METERED_STORE_H_
