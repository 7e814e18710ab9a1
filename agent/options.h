#ifndef THAW_AGENT_OPTIONS_H_
#define THAW_AGENT_OPTIONS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agent/container/profile.h"
#include "common/rpc/security.h"

namespace thaw::agent {

// What the operator sets.
struct Options {
  // Unique in the cluster; a safe name (common/ids/ids.h).
  std::string node_id;
  std::string listen = "127.0.0.1:7200";
  // host:port by which gateways and other agents reach this one; empty: `listen` with the port that was bound.
  std::string advertise;
  std::string metrics_listen = "127.0.0.1:7201";
  // host:port of the scheduler.
  std::string scheduler;
  // Absolute; at most Paths::kMaxDataDirLength bytes; the same path for the container engine.
  std::string data_dir = "/var/lib/thaw/node";
  std::string docker_socket = "/var/run/docker.sock";
  // The static thaw-init to mount into the containers.
  std::string init_binary;
  // A directory with CRIU and all that it needs (deploy/images/criu), mounted beside it; empty: images have CRIU themselves,
  // or are not checkpointed.
  std::string criu_bundle;
  // A directory with what is preloaded into functions (agent/preload), mounted beside it; empty: nothing is, and functions
  // that would need it are frozen only where their settings accept that.
  std::string preload_dir;
  ProfileRequest profile = ProfileRequest::kAuto;
  // Functions of engine crac run as root with what their container may do, for a CRaC JDK runs CRIU itself.
  bool allow_crac_engine = false;
  std::string network = "bridge";
  // What the node says of its CPU: MakeNodeCpu() in agent/cpu/node_cpu.h has the words. Empty: what the host has.
  std::string cpu_features;
  // What functions may use of the host's memory; 0: 80 % of what was available at the start.
  std::uint64_t memory_limit_bytes = 0;
  // What the snapshot store's chunks may take; 0: no limit.
  std::uint64_t snapshot_store_bytes = 0;
  // Of one version on this node; 0: twice the number of CPUs.
  std::uint32_t max_instances_per_function = 0;
  std::uint32_t max_waiting_calls = 1024;
  std::uint64_t max_body_bytes = 64ull << 20;
  absl::Duration restore_limit = absl::Seconds(10);
  absl::Duration dump_limit = absl::Seconds(60);
  absl::Duration listen_limit = absl::Seconds(30);
  absl::Duration spare_slot_time = absl::Minutes(1);
  // How long an image stays on the engine that no version needs any more; infinite: for ever.
  absl::Duration unused_image_time = absl::Minutes(10);
  // How long calls under way may go on after a stop was asked for.
  absl::Duration stop_grace = absl::Seconds(10);
  // Written once the agent serves: `grpc=<port>` and `metrics=<port>` lines.
  std::string port_file;
  std::string log_level = "info";
  SecurityOptions security;

  // INVALID_ARGUMENT names the flag and what it takes.
  absl::Status Validate() const;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_OPTIONS_H_
