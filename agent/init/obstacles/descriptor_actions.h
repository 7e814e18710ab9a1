#ifndef THAW_AGENT_INIT_OBSTACLES_DESCRIPTOR_ACTIONS_H_
#define THAW_AGENT_INIT_OBSTACLES_DESCRIPTOR_ACTIONS_H_

#include <string>
#include <vector>

#include "agent/init/obstacles/finding.h"
#include "agent/init/obstacles/system_view.h"
#include "agent/init/outcome.h"

namespace thaw::init {

enum class Action { kClose, kReopen, kIgnore };

// What to do about one finding, as a dump's order says it.
struct DescriptorAction {
  Action action = Action::kIgnore;
  std::string kind;  // ObstacleName()
  std::string what;
  pid_t pid = 0;
  int fd = -1;

  bool Fits(const Finding& finding) const {
    return finding.pid == pid && finding.fd == fd && finding.what == what && kind == ObstacleName(finding.kind);
  }
};

// A file to be opened again at the same number.
struct Reopening {
  pid_t pid = 0;
  int fd = -1;
  std::string path;
  int flags = 0;
  int64_t position = 0;
};

// What a dump has done to the function, to be undone after it and after each restore. Lies beside CRIU's images.
struct Undoing {
  // Stopped by init: to be continued last.
  std::vector<pid_t> stopped;
  std::vector<Reopening> reopen;
};
inline constexpr char kUndoingFile[] = "thaw-undo.json";
Outcome WriteUndoing(const std::string& images_dir, const Undoing& undoing);
// Empty when there is none. DATA_LOSS when it can't be read.
Outcome ReadUndoing(const std::string& images_dir, Undoing* undoing);

// Takes the descriptors of all findings with the action close or reopen away from the function, whose processes stand
// still. The number stays taken: by a socket whose peer has gone where it was a socket, so that the function reads an end
// of file, and otherwise by a descriptor that can be neither read nor written (O_PATH). So no later file of the function
// gets the number while its libraries still use it.
//
//   INVALID_ARGUMENT     reopen of something that is no file, or either of something that is no descriptor
//   FAILED_PRECONDITION  the process can't be held
//   INTERNAL             a call failed; named
Outcome TakeAway(const SystemView& view, const std::vector<Finding>& findings, const std::vector<DescriptorAction>& actions,
                 std::vector<Reopening>* reopen);

// Opens the files again, each at its number, its flags and its offset. A file opened for writing is made when it is not
// there. NOT_FOUND when one can't be opened: named.
Outcome OpenAgain(const std::vector<Reopening>& reopen);

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_OBSTACLES_DESCRIPTOR_ACTIONS_H_
