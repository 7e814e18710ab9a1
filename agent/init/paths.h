// Where things lie inside the container; docs/design/init-protocol.md has the table.
#ifndef THAW_AGENT_INIT_PATHS_H_
#define THAW_AGENT_INIT_PATHS_H_

namespace thaw::init {

//   /run/thaw/ctl/        bind mount, 0700 root: init.sock, function.log[.1], criu-failed.log
//   /run/thaw/fn/         0755 root: request.sock (0666), resume-<random> markers
//                         config.json (0444)
//   /run/thaw/secrets/    0755 root: the function's secrets, 0400 the function's
//   /run/thaw/work/       0700 root: criu's work directory, made anew for each run
//   /cracdata/<x>/images/ criu's images; <x>/files/{tmp,shm,iofs} the writable files of the snapshot
inline constexpr char kControlSocket[] = "/run/thaw/ctl/init.sock";
inline constexpr char kFunctionLog[] = "/run/thaw/ctl/function.log";
inline constexpr char kRunDir[] = "/run/thaw";
inline constexpr char kSecretsDir[] = "/run/thaw/secrets";
inline constexpr char kFailedCriuLog[] = "/run/thaw/ctl/criu-failed.log";
inline constexpr char kFunctionDir[] = "/run/thaw/fn";
inline constexpr char kRequestSocket[] = "/run/thaw/fn/request.sock";
inline constexpr char kWorkDir[] = "/run/thaw/work";
inline constexpr char kActionLink[] = "/run/thaw/criu-action";
inline constexpr char kSnapshotRoot[] = "/cracdata";
inline constexpr char kTmp[] = "/tmp";
inline constexpr char kIofs[] = "/tmp/iofs";
inline constexpr char kShm[] = "/dev/shm";
inline constexpr char kMqueue[] = "/dev/mqueue";

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_PATHS_H_
