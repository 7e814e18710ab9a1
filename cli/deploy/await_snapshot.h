#ifndef THAW_CLI_DEPLOY_AWAIT_SNAPSHOT_H_
#define THAW_CLI_DEPLOY_AWAIT_SNAPSHOT_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cli/gateway/client.h"
#include "cli/interrupt.h"
#include "cli/output/progress.h"
#include "common/clock/clock.h"

namespace thaw::cli {

// Waits for the snapshot that policy `on-deploy` makes of the function's version.
//
//   FAILED_PRECONDITION  freezing it failed; the message says why. The cluster tries again
//   DEADLINE_EXCEEDED    it was not there within `limit`; it may still come
//   CANCELLED            the user wants out
//   the gateway's        as they come
absl::Status AwaitSnapshot(GatewayClient& client, const commonpb::Function& function, absl::Duration limit,
                           const Clock& clock, Interrupt& interrupt, Progress& progress);

}  // namespace thaw::cli

#endif  // THAW_CLI_DEPLOY_AWAIT_SNAPSHOT_H_
