#ifndef THAW_CLI_COMMANDS_SNAPSHOT_EXPLAIN_H_
#define THAW_CLI_COMMANDS_SNAPSHOT_EXPLAIN_H_

#include "cli/commands/context.h"

namespace thaw::cli {

// Adds `thaw snapshot explain` below `snapshot`.
void AddSnapshotExplain(CLI::App& snapshot, Context& context, Command& selected);

}  // namespace thaw::cli

#endif  // THAW_CLI_COMMANDS_SNAPSHOT_EXPLAIN_H_
