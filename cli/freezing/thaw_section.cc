#include "cli/freezing/thaw_section.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/closest_word.h"
#include "cli/freezing/words.h"
#include "common/freezing/settings.h"
#include "common/status/status_macros.h"

namespace thaw::cli {
namespace {

namespace pb = common::v1;

constexpr std::size_t kMostBodyBytes = 1024 * 1024;

class SectionReader {
 public:
  SectionReader(const std::string& file_name, const std::string& directory)
      : file_name_(file_name), directory_(directory) {}

  absl::StatusOr<ThawSection> Read(const YAML::Node& root) {
    ThawSection section;
    pb::FreezeSettings freeze;
    bool has_freeze = false;
    const auto setting = [&has_freeze](auto read) {
      return [&has_freeze, read](const YAML::Node& node) -> absl::Status {
        has_freeze = true;
        return read(node);
      };
    };
    RETURN_IF_ERROR(Keys(
        root, "thaw",
        {{"checkpoint",
          [&](const YAML::Node& node) -> absl::Status {
            ASSIGN_OR_RETURN(section.checkpoint, Checkpoint(node));
            return absl::OkStatus();
          }},
         {"engine", setting([&](const YAML::Node& node) { return Word(node, ParseEngine, *freeze.mutable_engine()); })},
         {"cpu-baseline",
          setting([&](const YAML::Node& node) { return Word(node, ParseCpuBaseline, *freeze.mutable_cpu_baseline()); })},
         {"restore-time-config", setting([&](const YAML::Node& node) {
            return Texts(node, "restore-time-config", [&](const YAML::Node& item, std::string text) -> absl::Status {
              const auto& keys = freeze.restore_time_config();
              if (std::find(keys.begin(), keys.end(), text) != keys.end()) {
                return At(item, absl::StrCat("the config key `", text, "` is there twice"));
              }
              freeze.add_restore_time_config(std::move(text));
              return absl::OkStatus();
            });
          })},
         {"secrets", setting([&](const YAML::Node& node) { return Secrets(node, freeze); })},
         {"on-obstacle", setting([&](const YAML::Node& node) { return Rules(node, freeze); })},
         {"without-cures", setting([&](const YAML::Node& node) {
            return Texts(node, "without-cures", [&](const YAML::Node& item, const std::string&) -> absl::Status {
              return Word(item, ParseCure, *freeze.add_without_cures());
            });
          })},
         {"accept-uncured", setting([&](const YAML::Node& node) -> absl::Status {
            ASSIGN_OR_RETURN(const bool accept, Flag(node, "accept-uncured"));
            freeze.set_accept_uncured(accept);
            return absl::OkStatus();
          })},
         {"priming", setting([&](const YAML::Node& node) -> absl::Status {
            if (!node.IsSequence()) return At(node, "`priming` must be a list of requests, such as `- {file: prime.json}`");
            for (const YAML::Node& item : node) RETURN_IF_ERROR(Request(item, "priming", *freeze.add_priming()));
            return absl::OkStatus();
          })},
         {"canary",
          setting([&](const YAML::Node& node) { return Request(node, "canary", *freeze.mutable_canary()); })}}));
    if (has_freeze) {
      NormaliseFreezeSettings(freeze);
      section.freeze = std::move(freeze);
    }
    return section;
  }

 private:
  using Handler = std::function<absl::Status(const YAML::Node&)>;

  absl::Status At(const YAML::Node& node, absl::string_view message) const {
    return absl::InvalidArgumentError(
        absl::StrCat(file_name_, ":", std::max(0, node.Mark().line) + 1, ": ", message));
  }
  // The same failure with its place.
  absl::Status At(const YAML::Node& node, const absl::Status& status) const {
    return status.ok() ? status : At(node, status.message());
  }

  absl::Status Keys(const YAML::Node& node, const std::string& what,
                    const std::vector<std::pair<std::string, Handler>>& handlers) const {
    std::vector<std::string> known;
    for (const auto& [name, handler] : handlers) known.push_back(name);
    if (!node.IsMap()) return At(node, absl::StrCat("`", what, "` must be keys and values, such as `", known[0], ": …`"));
    std::set<std::string> seen;
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) return At(entry.first, "a key must be a word");
      const std::string& key = entry.first.Scalar();
      if (!seen.insert(key).second) return At(entry.first, absl::StrCat("key `", key, "` is there twice in `", what, "`"));
      const auto it = std::find_if(handlers.begin(), handlers.end(), [&](const auto& h) { return h.first == key; });
      if (it == handlers.end()) {
        const std::string meant = ClosestWord(key, known);
        return At(entry.first, absl::StrCat("key `", key, "` is not known in `", what, "`",
                                            meant.empty() ? "" : absl::StrCat("; did you mean `", meant, "`?")));
      }
      if (entry.second.IsNull()) continue;
      RETURN_IF_ERROR(it->second(entry.second));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Text(const YAML::Node& node, absl::string_view key) const {
    if (!node.IsScalar()) return At(node, absl::StrCat("`", key, "` must be a text"));
    return node.Scalar();
  }
  absl::StatusOr<bool> Flag(const YAML::Node& node, absl::string_view key) const {
    const std::string text = node.IsScalar() ? node.Scalar() : "";
    if (text != "true" && text != "false") return At(node, absl::StrCat("`", key, "` must be true or false"));
    return text == "true";
  }
  absl::Status Word(const YAML::Node& node, absl::StatusOr<std::string> (*parse)(absl::string_view),
                    std::string& target) const {
    if (!node.IsScalar()) return At(node, "this must be a word");
    auto word = parse(node.Scalar());
    if (!word.ok()) return At(node, word.status());
    target = *std::move(word);
    return absl::OkStatus();
  }
  template <typename Take>
  absl::Status Texts(const YAML::Node& node, absl::string_view key, Take take) const {
    if (!node.IsSequence()) return At(node, absl::StrCat("`", key, "` must be a list, such as `[A, B]`"));
    for (const YAML::Node& item : node) {
      ASSIGN_OR_RETURN(std::string text, Text(item, key));
      RETURN_IF_ERROR(take(item, std::move(text)));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<pb::CheckpointPolicy> Checkpoint(const YAML::Node& node) const {
    std::string text;
    if (node.IsMap()) {
      RETURN_IF_ERROR(Keys(node, "checkpoint", {{"after", [&](const YAML::Node& value) -> absl::Status {
                                                   ASSIGN_OR_RETURN(const std::string number, Text(value, "after"));
                                                   text = absl::StrCat("after:", number);
                                                   return absl::OkStatus();
                                                 }}}));
      if (text.empty()) return At(node, "`checkpoint` has no value; write `{after: 5}`, or on-deploy, learned, manual or never");
    } else {
      ASSIGN_OR_RETURN(text, Text(node, "checkpoint"));
    }
    auto policy = ParseCheckpointPolicy(text, "checkpoint:");
    if (!policy.ok()) return At(node, policy.status());
    return policy;
  }

  absl::Status Secrets(const YAML::Node& node, pb::FreezeSettings& freeze) const {
    if (!node.IsSequence()) return At(node, "`secrets` must be a list, such as `- {name: db, after-restore: true}`");
    for (const YAML::Node& item : node) {
      pb::SecretUse use;
      if (item.IsScalar()) {
        use.set_name(item.Scalar());
      } else {
        RETURN_IF_ERROR(Keys(item, "secrets",
                             {{"name",
                               [&](const YAML::Node& value) -> absl::Status {
                                 ASSIGN_OR_RETURN(*use.mutable_name(), Text(value, "name"));
                                 return absl::OkStatus();
                               }},
                              {"after-restore", [&](const YAML::Node& value) -> absl::Status {
                                 ASSIGN_OR_RETURN(const bool after, Flag(value, "after-restore"));
                                 use.set_after_restore_only(after);
                                 return absl::OkStatus();
                               }}}));
      }
      if (use.name().empty()) return At(item, "a secret needs a `name`");
      for (const auto& other : freeze.secrets()) {
        if (other.name() == use.name()) return At(item, absl::StrCat("the secret `", use.name(), "` is there twice"));
      }
      *freeze.add_secrets() = std::move(use);
    }
    return absl::OkStatus();
  }

  absl::Status Rules(const YAML::Node& node, pb::FreezeSettings& freeze) const {
    if (!node.IsSequence()) return At(node, "`on-obstacle` must be a list, such as `- {kind: tcp, action: close}`");
    for (const YAML::Node& item : node) {
      pb::ObstacleRule& rule = *freeze.add_rules();
      RETURN_IF_ERROR(Keys(item, "on-obstacle",
                           {{"kind",
                             [&](const YAML::Node& value) -> absl::Status {
                               ASSIGN_OR_RETURN(const std::string word, Text(value, "kind"));
                               const auto kind = ParseObstacleKind(word);
                               if (!kind.ok()) return At(value, kind.status());
                               rule.set_kind(*kind);
                               return absl::OkStatus();
                             }},
                            {"pattern",
                             [&](const YAML::Node& value) -> absl::Status {
                               ASSIGN_OR_RETURN(*rule.mutable_pattern(), Text(value, "pattern"));
                               return absl::OkStatus();
                             }},
                            {"action", [&](const YAML::Node& value) -> absl::Status {
                               ASSIGN_OR_RETURN(const std::string word, Text(value, "action"));
                               const auto action = ParseObstacleAction(word);
                               if (!action.ok()) return At(value, action.status());
                               rule.set_action(*action);
                               return absl::OkStatus();
                             }}}));
      if (rule.action() == pb::OBSTACLE_ACTION_UNSPECIFIED) {
        return At(item, "a rule needs an `action`: error, close, reopen or ignore");
      }
    }
    return absl::OkStatus();
  }

  absl::Status Request(const YAML::Node& node, const std::string& what, pb::PrimingRequest& request) const {
    bool has_body = false;
    const auto body = [&](const YAML::Node& value, auto read) -> absl::Status {
      if (has_body) return At(value, absl::StrCat("a request of `", what, "` has either `file` or `body`"));
      has_body = true;
      return read();
    };
    return Keys(
        node, what,
        {{"file",
          [&](const YAML::Node& value) {
            return body(value, [&]() -> absl::Status {
              ASSIGN_OR_RETURN(const std::string name, Text(value, "file"));
              auto bytes = ReadBodyFile((std::filesystem::path(directory_) / name).string());
              if (!bytes.ok()) return At(value, bytes.status());
              request.set_body(*std::move(bytes));
              return absl::OkStatus();
            });
          }},
         {"body",
          [&](const YAML::Node& value) {
            return body(value, [&]() -> absl::Status {
              ASSIGN_OR_RETURN(*request.mutable_body(), Text(value, "body"));
              return absl::OkStatus();
            });
          }},
         {"content-type",
          [&](const YAML::Node& value) -> absl::Status {
            ASSIGN_OR_RETURN(*request.mutable_content_type(), Text(value, "content-type"));
            return absl::OkStatus();
          }},
         {"headers", [&](const YAML::Node& value) -> absl::Status {
            if (!value.IsMap()) return At(value, "`headers` must be keys and values, such as `{Accept: text/plain}`");
            for (const auto& entry : value) {
              ASSIGN_OR_RETURN((*request.mutable_headers())[entry.first.Scalar()], Text(entry.second, "headers"));
            }
            return absl::OkStatus();
          }}});
  }

  const std::string& file_name_;
  const std::string& directory_;
};

}  // namespace

absl::StatusOr<ThawSection> ParseThawSection(const YAML::Node& node, const std::string& file_name,
                                             const std::string& directory) {
  return SectionReader(file_name, directory).Read(node);
}

absl::StatusOr<std::string> ReadBodyFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file.peek() != std::ifstream::traits_type::eof()) text << file.rdbuf();
  if (file.bad() || !file.is_open()) {
    return absl::InvalidArgumentError(absl::StrCat("the file ", path, " can't be read; check its name and mode"));
  }
  std::string bytes = std::move(text).str();
  if (bytes.size() > kMostBodyBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("the file ", path, " has ", bytes.size(), " bytes; a request has at most ", kMostBodyBytes));
  }
  return bytes;
}

}  // namespace thaw::cli
