#include "agent/init/snapshot_files.h"

#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "agent/init/paths.h"
#include "agent/init/tree_copy.h"

namespace thaw::init {
namespace {

bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Outcome MakeDirectory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return ErrnoOutcome(errno, "cannot make directory " + path);
}

Outcome Copy(const std::string& from, const std::string& to, const TreeCopyOptions& options = {}) {
  TreeCopyResult result;
  return CopyTree(from, to, options, &result);
}

// Objects of System V outlive their processes, and the next function in this container must not find them.
void RemoveSystemVObjects() {
  shm_info shm{};
  const int last_shm = ::shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&shm));
  for (int index = 0; index <= last_shm; ++index) {
    shmid_ds info{};
    if (const int id = ::shmctl(index, SHM_STAT, &info); id >= 0) ::shmctl(id, IPC_RMID, nullptr);
  }
  seminfo sem{};
  const int last_sem = ::semctl(0, 0, SEM_INFO, &sem);
  for (int index = 0; index <= last_sem; ++index) {
    semid_ds info{};
    if (const int id = ::semctl(index, 0, SEM_STAT, &info); id >= 0) ::semctl(id, 0, IPC_RMID);
  }
  msginfo msg{};
  const int last_msg = ::msgctl(0, MSG_INFO, reinterpret_cast<msqid_ds*>(&msg));
  for (int index = 0; index <= last_msg; ++index) {
    msqid_ds info{};
    if (const int id = ::msgctl(index, MSG_STAT, &info); id >= 0) ::msgctl(id, IPC_RMID, nullptr);
  }
}

}  // namespace

Outcome SaveFiles(const std::string& files_dir) {
  for (const char* part : {"", "/tmp", "/shm", "/iofs"}) {
    if (Outcome outcome = MakeDirectory(files_dir + part); !outcome.ok()) return outcome;
  }
  if (Outcome outcome = Copy(kTmp, files_dir + "/tmp", {.skip = {"iofs"}}); !outcome.ok()) return outcome;
  if (Exists(kShm)) {
    if (Outcome outcome = Copy(kShm, files_dir + "/shm"); !outcome.ok()) return outcome;
  }
  if (!Exists(kIofs)) return {};
  return Copy(kIofs, files_dir + "/iofs", {.skip = {}, .only_links = true});
}

Outcome LayDownFiles(const std::string& files_dir) {
  if (Outcome outcome = Copy(files_dir + "/tmp", kTmp); !outcome.ok()) return outcome;
  if (!Exists(kShm)) return {};
  return Copy(files_dir + "/shm", kShm);
}

Outcome LayDownSocketLinks(const std::string& files_dir) {
  if (!Exists(kIofs) || !Exists(files_dir + "/iofs")) return {};
  return Copy(files_dir + "/iofs", kIofs, {.skip = {}, .only_links = true});
}

Outcome CleanSlot() {
  // /tmp/iofs is a mount point: it stays, its content goes.
  if (Outcome outcome = EmptyDirectory(kTmp, {"iofs"}); !outcome.ok()) return outcome;
  for (const char* dir : {kIofs, kShm, kMqueue, kWorkDir}) {
    if (Outcome outcome = EmptyDirectory(dir); !outcome.ok()) return outcome;
  }
  if (Outcome outcome = EmptyDirectory(kFunctionDir, {"request.sock"}); !outcome.ok()) return outcome;
  if (Exists(kSecretsDir)) {
    if (Outcome outcome = EmptyDirectory(kSecretsDir); !outcome.ok()) return outcome;
  }
  RemoveSystemVObjects();
  return {};
}

}  // namespace thaw::init
