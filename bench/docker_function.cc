#include "bench/docker_function.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/ids/ids.h"
#include "common/rpc/client.h"
#include "common/rpc/security.h"
#include "common/rpc/status.h"
#include "common/status/status_macros.h"
#include "thaw/agent/v1/agent.grpc.pb.h"

namespace thaw::bench {
namespace {

using testing::CommandResult;
using testing::RunCommand;

constexpr uid_t kFunctionUser = 1000;
constexpr absl::Duration kFirstAnswerLimit = absl::Seconds(60);
// The same as a slot's, where every machine offers them (agent/container/profile.cc).
constexpr const char* kCapabilities[] = {"SYS_ADMIN",  "SYS_PTRACE", "NET_ADMIN",    "SYS_TIME", "SETPCAP", "SYS_CHROOT",
                                         "SETUID",     "SETGID",     "DAC_OVERRIDE", "KILL",     "CHOWN",   "FOWNER"};

// What a person would type. $1 snapshot's directory, $2 and $3 the pipes of stdout and stderr, $4 the resume marker, $5 and
// $6 uid and gid: without CAP_SYS_RESOURCE, CRIU sets limits of its own real user only. The work files go to a tmpfs.
constexpr char kRestoreScript[] = R"sh(set -e
mkdir -p /run/work /run/thaw/fn
find "$1/files/tmp" -mindepth 1 -maxdepth 1 -exec cp -a {} /tmp/ \;
find "$1/files/shm" -mindepth 1 -maxdepth 1 -exec cp -a {} /dev/shm/ \;
[ -z "$4" ] || touch "/run/thaw/fn/$4"
err=
[ "$3" = "$2" ] || err="--inherit-fd fd[9]:$3"
exec 8>/run/work/out 9>/run/work/err
exec setpriv --ruid "$5" --rgid "$6" --keep-groups criu restore --restore-detached --images-dir "$1/images" \
  --work-dir /run/work --log-file restore.log -v1 --manage-cgroups=ignore --file-locks --inherit-fd "fd[8]:$2" $err
)sh";

absl::Status Check(const CommandResult& result, absl::string_view what) {
  if (result.exit_code == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(what, " failed with exit status ", result.exit_code, ": ", result.err, result.out));
}

}  // namespace

std::string BenchNode() { return absl::StrCat("bench-", getpid()); }

DockerFunction::DockerFunction() : name_(absl::StrCat("thaw-bench-", NewHexId(4))) {
  char pattern[] = "/tmp/tb-XXXXXX";
  dir_ = mkdtemp(pattern);
  chmod(dir_.c_str(), 0755);
  const std::string iofs = dir_ + "/iofs";
  mkdir(iofs.c_str(), 0770);
  (void)!chown(iofs.c_str(), kFunctionUser, kFunctionUser);
  socket_ = std::make_unique<FunctionSocket>(iofs);
}

DockerFunction::~DockerFunction() {
  socket_.reset();
  RunCommand({"docker", "rm", "-f", name_});
  std::error_code ignored;
  std::filesystem::remove_all(dir_, ignored);
}

absl::Status DockerFunction::Run(const std::string& image, std::uint32_t memory_mib) {
  return Check(RunCommand({"docker", "run", "-d", "--name", name_, "--label", "thaw.node=" + BenchNode(), "--memory",
                           absl::StrCat(memory_mib, "m"), "-v", dir_ + "/iofs:/tmp/iofs", "-e",
                           "FN_LISTENER=unix:/tmp/iofs/lsnr.sock", "-e", "FN_FORMAT=http-stream", "-e",
                           absl::StrCat("FN_MEMORY=", memory_mib), "-e", "FN_APP_ID=bench", "-e", "FN_FN_ID=bench", "-e",
                           "FN_APP_NAME=bench", "-e", "FN_FN_NAME=bench", "-e", "FN_TYPE=sync", image}),
               "docker run");
}

absl::Status DockerFunction::RunIdle(const std::string& image, std::uint32_t memory_mib, const std::string& cracdata,
                                     const std::string& tools) {
  std::vector<std::string> argv = {"docker", "run", "-d", "--init=false", "--name", name_, "--label",
                                   "thaw.node=" + BenchNode(), "--memory", absl::StrCat(memory_mib + 64, "m"), "--user",
                                   "0:0", "--cap-drop", "ALL"};
  for (const char* capability : kCapabilities) argv.insert(argv.end(), {"--cap-add", capability});
  argv.insert(argv.end(),
              {"--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--security-opt",
               "systempaths=unconfined", "--tmpfs", "/tmp:rw,nosuid,nodev,exec,mode=1777", "--tmpfs",
               "/run:rw,nosuid,nodev,exec,mode=755", "-v", dir_ + "/iofs:/tmp/iofs", "-v", cracdata + ":/cracdata:ro",
               "-v", tools + ":/thaw:ro",
               "--entrypoint", "/bin/sh", image, "-c", "criu check >/dev/null 2>&1; touch /run/ready; while :; do sleep 1000; done"});
  RETURN_IF_ERROR(Check(RunCommand(argv), "docker run"));
  // CRIU's probe of the kernel, which a slot has behind it as well.
  const bool ready = testing::Eventually(
      [&] { return RunCommand({"docker", "exec", name_, "test", "-e", "/run/ready"}).exit_code == 0; }, absl::Seconds(30));
  return ready ? absl::OkStatus() : absl::DeadlineExceededError("`criu check` did not end in the idle container");
}

absl::Status DockerFunction::RestoreByHand(const thaw::agent::v1::Manifest& manifest) {
  const CommandResult result =
      RunCommand({"docker", "exec", name_, "/bin/sh", "-c", kRestoreScript, "restore",
                  "/cracdata/" + manifest.info().id(), manifest.stdout_pipe(), manifest.stderr_pipe(),
                  manifest.resume_marker(), absl::StrCat(manifest.uid()), absl::StrCat(manifest.gid())});
  if (result.exit_code == 0) return absl::OkStatus();
  const CommandResult log = RunCommand({"docker", "exec", name_, "tail", "-n", "20", "/run/work/restore.log"});
  return Check(result, absl::StrCat("criu restore by hand (", log.out, ")"));
}

absl::Status DockerFunction::AwaitFirstAnswer(const std::string& body) {
  const absl::Status connected = socket_->Connect(absl::Now() + kFirstAnswerLimit);
  if (!connected.ok()) {
    return absl::Status(connected.code(), absl::StrCat(connected.message(), "; the container's log: ",
                                                       RunCommand({"docker", "logs", name_}).err, RunCommand({"docker", "exec", name_, "sh", "-c", "cat /run/work/*"}).out));
  }
  return socket_->Call(body);
}

absl::StatusOr<std::unique_ptr<testing::Cluster>> StartCluster(const testing::Cluster::Options& options) {
  ASSIGN_OR_RETURN(auto cluster, testing::Cluster::Start(options));
  if (const char* notes = getenv("THAW_BENCH_CLUSTERS"); notes != nullptr) {
    std::ofstream file(notes, std::ios::app);
    file << cluster->dir();
    for (const std::string& node : options.nodes) file << " " << cluster->NodeId(node);
    file << "\n";
  }
  return cluster;
}

absl::StatusOr<thaw::agent::v1::Manifest> ManifestOf(testing::Cluster& cluster, const std::string& node,
                                                     const std::string& snapshot_id) {
  SecurityOptions secret;
  secret.cluster_token_file = cluster.token_file();
  ASSIGN_OR_RETURN(const auto security, Security::Load(secret));
  const auto stub =
      thaw::agent::v1::Snapshots::NewStub(security->NewChannel(absl::StrCat("127.0.0.1:", cluster.agent_port(node))));
  grpc::ClientContext context;
  PrepareCall(context, *security, absl::Now() + absl::Seconds(10));
  thaw::agent::v1::GetManifestRequest request;
  request.set_snapshot_id(snapshot_id);
  thaw::agent::v1::Manifest manifest;
  RETURN_IF_ERROR(FromGrpcStatus(stub->GetManifest(&context, request, &manifest)));
  return manifest;
}

absl::StatusOr<std::string> ToolsOf(const testing::Cluster& cluster, const std::string& node) {
  // The agent of a fresh cluster has one: a second would be of another build of the agent.
  const std::string parent = cluster.data_dir(node) + "/bin";
  std::error_code failure;
  const std::filesystem::directory_iterator found(parent, failure);
  if (failure || found == std::filesystem::directory_iterator()) {
    return absl::NotFoundError(absl::StrCat("node ", node, " has no tools in ", parent, ": ", failure.message()));
  }
  return found->path().string();
}

}  // namespace thaw::bench
