#include "cli/freezing/words.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "cli/closest_word.h"
#include "common/freezing/settings.h"

namespace thaw::cli {
namespace {

using common::v1::CheckpointPolicy;
using common::v1::ObstacleAction;
using common::v1::ObstacleKind;

constexpr std::uint32_t kMostCalls = 1'000'000;

constexpr std::pair<const char*, ObstacleKind> kKinds[] = {
    {"any", common::v1::OBSTACLE_KIND_UNSPECIFIED},
    {"file", common::v1::OBSTACLE_KIND_FILE},
    {"deleted-file", common::v1::OBSTACLE_KIND_DELETED_FILE},
    {"tcp", common::v1::OBSTACLE_KIND_TCP},
    {"udp", common::v1::OBSTACLE_KIND_UDP},
    {"unix", common::v1::OBSTACLE_KIND_UNIX},
    {"epoll", common::v1::OBSTACLE_KIND_EPOLL},
    {"io-uring", common::v1::OBSTACLE_KIND_IO_URING},
    {"device", common::v1::OBSTACLE_KIND_DEVICE},
    {"shared-memory", common::v1::OBSTACLE_KIND_SHARED_MEMORY},
    {"pipe", common::v1::OBSTACLE_KIND_PIPE},
    {"inotify", common::v1::OBSTACLE_KIND_INOTIFY},
    {"randomness", common::v1::OBSTACLE_KIND_RANDOMNESS},
    {"resource", common::v1::OBSTACLE_KIND_RESOURCE},
    {"other", common::v1::OBSTACLE_KIND_OTHER},
};
constexpr std::pair<const char*, ObstacleAction> kActions[] = {
    {"error", common::v1::OBSTACLE_ACTION_ERROR},
    {"close", common::v1::OBSTACLE_ACTION_CLOSE},
    {"reopen", common::v1::OBSTACLE_ACTION_REOPEN},
    {"ignore", common::v1::OBSTACLE_ACTION_IGNORE},
};
constexpr std::pair<const char*, CheckpointPolicy::Mode> kModes[] = {
    {"after", CheckpointPolicy::MODE_AFTER_INVOCATIONS},
    {"on-deploy", CheckpointPolicy::MODE_ON_DEPLOY},
    {"learned", CheckpointPolicy::MODE_LEARNED},
    {"manual", CheckpointPolicy::MODE_MANUAL},
    {"never", CheckpointPolicy::MODE_NEVER},
};

template <typename Table, typename Value>
std::string WordOf(const Table& table, Value value, const char* otherwise) {
  for (const auto& [word, meaning] : table) {
    if (meaning == value) return word;
  }
  return otherwise;
}

absl::Status NotAmong(absl::string_view word, const std::vector<std::string>& known, absl::string_view what) {
  const std::string meant = ClosestWord(word, known);
  return absl::InvalidArgumentError(absl::StrCat(what, " `", word, "` is not known; ",
                                                 meant.empty() ? "" : absl::StrCat("did you mean `", meant, "`? "),
                                                 "there are ", absl::StrJoin(known, ", ")));
}

template <typename Value, typename Table>
absl::StatusOr<Value> ValueOf(const Table& table, absl::string_view word, absl::string_view what) {
  std::vector<std::string> known;
  for (const auto& [name, value] : table) {
    if (word == name) return value;
    known.push_back(name);
  }
  return NotAmong(word, known, what);
}

// `word` when it is one of `known`.
absl::StatusOr<std::string> OneOf(absl::string_view word, absl::Span<const absl::string_view> known,
                                  absl::string_view what) {
  if (std::find(known.begin(), known.end(), word) == known.end()) {
    return NotAmong(word, std::vector<std::string>(known.begin(), known.end()), what);
  }
  return std::string(word);
}

}  // namespace

std::string ObstacleKindWord(ObstacleKind kind) { return WordOf(kKinds, kind, "other"); }
absl::StatusOr<ObstacleKind> ParseObstacleKind(absl::string_view word) {
  return ValueOf<ObstacleKind>(kKinds, word, "the kind of obstacle");
}

std::string ObstacleActionWord(ObstacleAction action) { return WordOf(kActions, action, "error"); }
absl::StatusOr<ObstacleAction> ParseObstacleAction(absl::string_view word) {
  return ValueOf<ObstacleAction>(kActions, word, "the action");
}

std::string CheckpointModeWord(CheckpointPolicy::Mode mode) { return WordOf(kModes, mode, "after"); }

absl::StatusOr<CheckpointPolicy> ParseCheckpointPolicy(absl::string_view text, absl::string_view what) {
  CheckpointPolicy policy;
  for (const auto& [word, mode] : kModes) {
    if (text != word || mode == CheckpointPolicy::MODE_AFTER_INVOCATIONS) continue;
    policy.set_mode(mode);
    return policy;
  }
  absl::string_view number = text;
  absl::ConsumePrefix(&number, "after:");
  std::uint32_t after = 0;
  if (!absl::SimpleAtoi(number, &after) || after < 1 || after > kMostCalls) {
    return absl::InvalidArgumentError(
        absl::StrCat("`", what, " ", text, "` is neither a number of calls, 1 to ", kMostCalls,
                     ", nor one of `on-deploy`, `learned`, `manual` and `never`"));
  }
  policy.set_mode(CheckpointPolicy::MODE_AFTER_INVOCATIONS);
  policy.set_after_invocations(after);
  return policy;
}

absl::StatusOr<std::string> ParseCpuBaseline(absl::string_view word) {
  return OneOf(word, kCpuBaselines, "the CPU baseline");
}
absl::StatusOr<std::string> ParseEngine(absl::string_view word) { return OneOf(word, kEngines, "the engine"); }
absl::StatusOr<std::string> ParseCure(absl::string_view word) { return OneOf(word, kCures, "the cure"); }

}  // namespace thaw::cli
