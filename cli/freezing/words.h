#ifndef THAW_CLI_FREEZING_WORDS_H_
#define THAW_CLI_FREEZING_WORDS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "thaw/common/v1/catalogue.pb.h"
#include "thaw/common/v1/freezing.pb.h"

// How a function's freezing is said in words: by func.yaml, by flags, and in what is printed. Parsers fail with
// INVALID_ARGUMENT, which names the word, a near one where there is one, and all that there are.
namespace thaw::cli {

// `tcp`, `deleted-file`, … ; `any` for what fits every kind.
std::string ObstacleKindWord(common::v1::ObstacleKind kind);
absl::StatusOr<common::v1::ObstacleKind> ParseObstacleKind(absl::string_view word);
// `error`, `close`, `reopen`, `ignore`
std::string ObstacleActionWord(common::v1::ObstacleAction action);
absl::StatusOr<common::v1::ObstacleAction> ParseObstacleAction(absl::string_view word);

// `after`, `on-deploy`, `learned`, `manual`, `never`
std::string CheckpointModeWord(common::v1::CheckpointPolicy::Mode mode);
// A number of calls, `after:N`, or one of the other words. `what` is how the message names the place (`--checkpoint`).
absl::StatusOr<common::v1::CheckpointPolicy> ParseCheckpointPolicy(absl::string_view text, absl::string_view what);

absl::StatusOr<std::string> ParseCpuBaseline(absl::string_view word);
absl::StatusOr<std::string> ParseEngine(absl::string_view word);
absl::StatusOr<std::string> ParseCure(absl::string_view word);

}  // namespace thaw::cli

#endif  // THAW_CLI_FREEZING_WORDS_H_
