#ifndef THAW_AGENT_INIT_CRIU_ACTION_H_
#define THAW_AGENT_INIT_CRIU_ACTION_H_

namespace thaw::init {

// Environment variable that tells the action where the files of the snapshot go.
inline constexpr char kActionFilesVariable[] = "THAW_SNAPSHOT_FILES";
// The cures that the snapshot does without, as CureSet::bits(), in decimal.
inline constexpr char kActionWithoutVariable[] = "THAW_WITHOUT_CURES";
// In CRIU's work directory: why the action failed, as FailurePipe::ParseFailure reads it.
inline constexpr char kActionErrorName[] = "action-error";
// Beside it: made when a restored function's generators have been seeded.
inline constexpr char kActionSeededName[] = "action-seeded";

// What CRIU runs at its stages (--action-script). After the dump proper, with the function still frozen, it
// takes the function's files into the snapshot, zeroes the pages that must not be shared by its restores, and notes
// which random generators they have to seed anew. Before a restored function's first instruction it seeds Go's. At every
// other stage it does nothing. Returns the exit status; CRIU fails the dump when it is not 0.
int RunCriuAction();

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_CRIU_ACTION_H_
