#ifndef THAW_AGENT_SERVICE_FUNCTIONS_SERVICE_H_
#define THAW_AGENT_SERVICE_FUNCTIONS_SERVICE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/pool/pool.h"
#include "common/executor/executor.h"
#include "common/rpc/security.h"
#include "thaw/agent/v1/agent.grpc.pb.h"

namespace thaw::agent {

// thaw.agent.v1.Functions: translates between gRPC and the pool; nothing here blocks a reactor.
class FunctionsService final : public v1::Functions::CallbackService {
 public:
  using FindVersion =
      std::function<void(const std::string& version_id, absl::Time deadline,
                         absl::AnyInvocable<void(absl::StatusOr<std::shared_ptr<VersionPool>>)> done)>;

  // Blocks; errors as of Functions.Explain.
  using ExplainVersion =
      std::function<absl::StatusOr<std::vector<thaw::common::v1::Diagnosis>>(const std::string& version_id)>;

  struct Options {
    std::uint64_t max_body_bytes = 64ull << 20;
    // A call without a deadline of its own gets this one.
    absl::Duration longest_call = absl::Minutes(6);
    // The same for a freeze that a person asked for.
    absl::Duration longest_freeze = absl::Minutes(10);
    absl::Duration log_poll_interval = absl::Milliseconds(250);
  };

  // `explain` is called on `disk`; without it Explain() is UNIMPLEMENTED.
  // `find` answers with the version's pool, asking the scheduler for a version that is not known yet. Log files are read
  // on `disk`.
  FunctionsService(const Options& options, std::shared_ptr<const Security> security, Pool& pool, FindVersion find,
                   Executor& disk, Timers& timers, ExplainVersion explain = nullptr);

  grpc::ServerUnaryReactor* Invoke(grpc::CallbackServerContext* context, const v1::InvokeRequest* request,
                                   v1::InvokeResponse* response) override;
  grpc::ServerBidiReactor<v1::InvokeStreamRequest, v1::InvokeStreamResponse>* InvokeStream(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* Freeze(grpc::CallbackServerContext* context, const v1::FreezeRequest* request,
                                   thaw::common::v1::SnapshotInfo* response) override;
  grpc::ServerUnaryReactor* Explain(grpc::CallbackServerContext* context, const v1::ExplainRequest* request,
                                    v1::ExplainResponse* response) override;
  grpc::ServerWriteReactor<v1::LogLine>* ReadLogs(grpc::CallbackServerContext* context,
                                                  const v1::ReadLogsRequest* request) override;

 private:
  const Options options_;
  const std::shared_ptr<const Security> security_;
  Pool& pool_;
  const FindVersion find_;
  Executor& disk_;
  Timers& timers_;
  const ExplainVersion explain_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_SERVICE_FUNCTIONS_SERVICE_H_
