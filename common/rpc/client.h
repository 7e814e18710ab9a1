#ifndef THAW_COMMON_RPC_CLIENT_H_
#define THAW_COMMON_RPC_CLIENT_H_

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/rpc/security.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"

namespace thaw {

// One channel per address, made on first use and kept. Threads: any.
class ChannelPool {
 public:
  explicit ChannelPool(std::shared_ptr<const Security> security) : security_(std::move(security)) {}
  std::shared_ptr<grpc::Channel> Get(const std::string& address) ABSL_LOCKS_EXCLUDED(mu_);
  const Security& security() const { return *security_; }

 private:
  const std::shared_ptr<const Security> security_;
  absl::Mutex mu_;
  absl::flat_hash_map<std::string, std::shared_ptr<grpc::Channel>> channels_ ABSL_GUARDED_BY(mu_);
};

// Readies an outbound call: token and deadline.
void PrepareCall(grpc::ClientContext& context, const Security& security, absl::Time deadline);

// The inbound call's deadline, or `fallback` from now when it has none (never later than that).
absl::Time DeadlineOf(const grpc::CallbackServerContext& context, absl::Duration fallback);

google::protobuf::Duration ToProto(absl::Duration duration);
google::protobuf::Timestamp ToProto(absl::Time time);
absl::Duration FromProto(const google::protobuf::Duration& duration);
absl::Time FromProto(const google::protobuf::Timestamp& time);

}  // namespace thaw

#endif  // THAW_COMMON_RPC_CLIENT_H_
