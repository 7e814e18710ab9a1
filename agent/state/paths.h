#ifndef THAW_AGENT_STATE_PATHS_H_
#define THAW_AGENT_STATE_PATHS_H_

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace thaw::agent {

// Where things lie below the agent's data directory, which has the same path for the agent and for the container
// engine. All is root's alone, but for what the table of docs/design/init-protocol.md gives to the function.
//
//   <data>/
//     bin/<digest>/                    mounted read-only as /thaw into every container: init, criu/
//     slots/<slot>/iofs/               /tmp/iofs in the container: the function's socket      0770, uid 1000
//     slots/<slot>/ctl/                /run/thaw/ctl: init.sock, function.log
//     versions/<version>/cracdata/     the CRaC volume: /cracdata in each slot of the version
//         dump-<instance>/             a checkpoint being written
//         <snapshot>/                  a snapshot laid out for restoring
//     snapshots/                       the store (agent/snapshot): chunks/, manifests/, staging/, quarantine/
//     criu-logs/<version>.log          CRIU's whole log of the version's last dump that it refused
//     images                           those that versions here had, and which of them Thaw brought (agent/image)
//     versions.pb                      the last known state of the versions, for a start without the scheduler
//
// <slot> is 16 hex digits and <data> at most 60 bytes, so that `iofs/<name>.sock` stays below the 108 bytes of a unix
// socket's address.
class Paths {
 public:
  explicit Paths(std::string data_dir) : data_(std::move(data_dir)) {}

  static constexpr std::size_t kMaxDataDirLength = 60;

  const std::string& data() const { return data_; }
  std::string AllTools() const { return absl::StrCat(data_, "/bin"); }
  std::string Tools(absl::string_view digest) const { return absl::StrCat(data_, "/bin/", digest); }
  std::string Slots() const { return absl::StrCat(data_, "/slots"); }
  std::string Slot(absl::string_view slot) const { return absl::StrCat(data_, "/slots/", slot); }
  std::string Iofs(absl::string_view slot) const { return absl::StrCat(Slot(slot), "/iofs"); }
  std::string Ctl(absl::string_view slot) const { return absl::StrCat(Slot(slot), "/ctl"); }
  std::string Versions() const { return absl::StrCat(data_, "/versions"); }
  std::string Version(absl::string_view version) const { return absl::StrCat(data_, "/versions/", version); }
  std::string Cracdata(absl::string_view version) const { return absl::StrCat(Version(version), "/cracdata"); }
  std::string SnapshotStore() const { return absl::StrCat(data_, "/snapshots"); }
  std::string CriuLogs() const { return absl::StrCat(data_, "/criu-logs"); }
  std::string CriuLog(absl::string_view version) const { return absl::StrCat(CriuLogs(), "/", version, ".log"); }
  std::string Images() const { return absl::StrCat(data_, "/images"); }
  std::string VersionStates() const { return absl::StrCat(data_, "/versions.pb"); }

  // The same places as the container sees them.
  static std::string CracdataInside(absl::string_view name) { return absl::StrCat("/cracdata/", name); }

 private:
  std::string data_;
};

}  // namespace thaw::agent

#endif  // THAW_AGENT_STATE_PATHS_H_
