#ifndef THAW_SCHEDULER_LIMITS_H_
#define THAW_SCHEDULER_LIMITS_H_

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

// The scheduler's fixed bounds. What an operator should choose is a flag (options.h) instead.
namespace thaw::scheduler::limits {

// --- the catalogue: what a client may ask for (the Fn contract's ranges) ---
// Bytes of an app's or function's name.
inline constexpr std::size_t kMaxNameBytes = 255;
inline constexpr std::uint32_t kDefaultMemoryMib = 128;
inline constexpr std::uint32_t kMaxMemoryMib = 8192;
inline constexpr std::uint32_t kMaxCpuMillis = 64'000;
inline constexpr absl::Duration kDefaultTimeout = absl::Seconds(30);
inline constexpr absl::Duration kMinTimeout = absl::Seconds(1);
inline constexpr absl::Duration kMaxTimeout = absl::Seconds(300);
inline constexpr absl::Duration kDefaultIdleTimeout = absl::Seconds(30);
inline constexpr absl::Duration kMinIdleTimeout = absl::Seconds(1);
inline constexpr absl::Duration kMaxIdleTimeout = absl::Seconds(3600);
inline constexpr std::uint32_t kDefaultAfterInvocations = 5;
inline constexpr std::uint32_t kMaxAfterInvocations = 1'000'000;
inline constexpr std::size_t kMaxAnnotations = 100;
inline constexpr std::size_t kMaxAnnotationKeyBytes = 128;
inline constexpr std::size_t kMaxAnnotationValueBytes = 512;
// Environment of a process: Linux refuses single strings over 128 KiB, and a version's config travels to every node.
inline constexpr std::size_t kMaxConfigEntries = 1000;
inline constexpr std::size_t kMaxConfigKeyBytes = 255;
inline constexpr std::size_t kMaxConfigBytes = 128 * 1024;
inline constexpr std::size_t kMaxImageReferenceBytes = 512;
// Secrets travel with a version's state to every node, and with an order of one line to thaw-init.
inline constexpr std::size_t kMaxSecretBytes = 64 * 1024;
inline constexpr std::size_t kMaxSecretsPerApp = 100;
inline constexpr std::size_t kMaxSecretBytesPerApp = 512 * 1024;
// Bounds of Function.freeze.
inline constexpr std::size_t kMaxObstacleRules = 100;
inline constexpr std::size_t kMaxRulePatternBytes = 1024;
inline constexpr std::size_t kMaxSecretNameBytes = 255;
inline constexpr std::size_t kMaxSecretsPerFunction = 100;
inline constexpr std::size_t kMaxPrimingRequests = 100;
inline constexpr std::size_t kMaxPrimingBytes = 1024 * 1024;
inline constexpr std::size_t kMaxCanaryBytes = 64 * 1024;
inline constexpr std::uint32_t kDefaultPageSize = 30;
inline constexpr std::uint32_t kMaxPageSize = 100;
// All of the catalogue is kept in memory and sent to each node that joins.
inline constexpr std::size_t kMaxApps = 10'000;
inline constexpr std::size_t kMaxFunctions = 20'000;

// --- membership ---
inline constexpr std::size_t kMaxNodes = 1'000;
inline constexpr std::size_t kMaxImagesPerNode = 10'000;
// A stream that has not said who it is by then is closed.
inline constexpr absl::Duration kRegisterTimeout = absl::Seconds(10);
// Commands waiting for one node's stream; a node that is further behind is cut off and starts over.
inline constexpr std::size_t kMaxQueuedCommands = 65'536;
// Bytes kept of an error text that an agent reports.
inline constexpr std::size_t kMaxReportedErrorBytes = 2'000;

// --- checkpoints ---
// A checkpoint that has not ended by then is taken for lost: the dump, the canary restore and the chunking of the
// largest function are well below it.
inline constexpr absl::Duration kCheckpointGrantTime = absl::Seconds(120);
// After a failure; doubles with each one.
inline constexpr absl::Duration kCheckpointFirstBackoff = absl::Seconds(5);
// Then the version is not frozen any more, until it is changed or its snapshot is removed by hand.
inline constexpr std::uint32_t kMaxCheckpointFailures = 5;
// When a refused instance asks again although a snapshot is there: it may be gone by then.
inline constexpr absl::Duration kCheckpointRecheck = absl::Seconds(30);
// How long a removed snapshot is remembered for holders that were away.
inline constexpr absl::Duration kRemovedSnapshotMemory = absl::Hours(24 * 30);

// --- leases ---
inline constexpr std::size_t kMaxLeases = 200'000;
inline constexpr std::size_t kMaxLeasesPerRequest = 10'000;
// Of a snapshot or a node: the kernel knows some 250 of x86.
inline constexpr std::size_t kMaxCpuFeatures = 1'000;
inline constexpr std::size_t kMaxGatewayIdBytes = 128;
inline constexpr std::size_t kMaxWatchers = 1'000;

// --- the store's executor ---
// Writes waiting for the disk; more are refused.
inline constexpr std::size_t kMaxQueuedWrites = 1'000;

}  // namespace thaw::scheduler::limits

#endif  // THAW_SCHEDULER_LIMITS_H_
