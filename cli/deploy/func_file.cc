#include "cli/deploy/func_file.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/closest_word.h"
#include "cli/exit_code.h"
#include "common/status/status_macros.h"

namespace thaw::cli {
namespace {

constexpr char kSchemaVersion[] = "20180708";

// Reads one file. Errors are collected by throwing nothing: the first one wins and is in `status`.
class Reader {
 public:
  Reader(std::string file_name, std::string directory) : directory_(std::move(directory)) {
    file_.file_name = std::move(file_name);
  }

  absl::StatusOr<FuncFile> Read(const YAML::Node& root) {
    if (!root.IsMap()) {
      return At(root, "the file must hold keys and values, such as `schema_version: 20180708`");
    }
    using Handler = std::function<void(const std::string&, const YAML::Node&)>;
    const auto text = [this](std::string FuncFile::* field) -> Handler {
      return
          [this, field](const std::string& key, const YAML::Node& node) { file_.*field = Text(key, node); };
    };
    const auto number = [this](std::optional<std::uint32_t> FuncFile::* field, std::uint32_t most,
                               const char* unit) -> Handler {
      return [this, field, most, unit](const std::string& key, const YAML::Node& node) {
        file_.*field = Number(key, node, most, unit);
      };
    };
    const auto words = [this](std::vector<std::string> FuncFile::* field) -> Handler {
      return
          [this, field](const std::string& key, const YAML::Node& node) { file_.*field = Words(key, node); };
    };
    const Handler ignored = [this](const std::string& key, const YAML::Node&) {
      file_.ignored_keys.push_back(key);
    };
    bool has_schema = false;
    const std::vector<std::pair<std::string, Handler>> handlers = {
        {"schema_version",
         [&](const std::string& key, const YAML::Node& node) {
           has_schema = true;
           if (const std::string value = Text(key, node); ok() && value != kSchemaVersion) {
             Fail(node, absl::StrCat("schema_version ", value, " is not known; write ", kSchemaVersion));
           }
         }},
        {"name",
         [&](const std::string& key, const YAML::Node& node) {
           file_.name = Text(key, node);
           constexpr absl::string_view kNameCharacters =
               "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
           if (ok() && (file_.name.empty() || file_.name.size() > 255 ||
                        absl::string_view(file_.name).find_first_not_of(kNameCharacters) !=
                            absl::string_view::npos)) {
             Fail(node, absl::StrCat("name `", file_.name, "` must be 1 to 255 letters, digits, `_` or `-`"));
           }
         }},
        {"version", text(&FuncFile::version)},
        {"runtime", text(&FuncFile::runtime)},
        {"build_image", text(&FuncFile::build_image)},
        {"run_image", text(&FuncFile::run_image)},
        {"cmd", words(&FuncFile::cmd)},
        {"entrypoint", words(&FuncFile::entrypoint)},
        {"content_type", text(&FuncFile::content_type)},
        {"type", ignored},
        {"memory", number(&FuncFile::memory_mib, 8192, "MiB")},
        {"timeout", number(&FuncFile::timeout_s, 300, "seconds")},
        {"idle_timeout", number(&FuncFile::idle_timeout_s, 3600, "seconds")},
        {"config", [&](const std::string& key, const YAML::Node& node) { Config(key, node); }},
        {"annotations", [&](const std::string& key, const YAML::Node& node) { Annotations(key, node); }},
        {"deploy", ignored},
        {"signing_details", ignored},
        {"build",
         [&](const std::string& key, const YAML::Node& node) {
           if (!Expect(node, node.IsSequence(), key, "a list of shell lines")) return;
           for (const YAML::Node& step : node) file_.build.push_back(Text(key, step));
         }},
        {"expects", [&](const std::string& key, const YAML::Node& node) { Expects(key, node); }},
        {"triggers", ignored},
        {"thaw",
         [&](const std::string&, const YAML::Node& node) {
           auto section = ParseThawSection(node, file_.file_name, directory_);
           if (section.ok()) {
             file_.thaw = *std::move(section);
           } else if (status_.ok()) {
             status_ = section.status();
           }
         }},
    };
    std::set<std::string> seen;
    for (const auto& entry : root) {
      if (!entry.first.IsScalar()) return At(entry.first, "a key must be a word");
      const std::string key = entry.first.Scalar();
      if (!seen.insert(key).second) return At(entry.first, absl::StrCat("key `", key, "` is there twice"));
      const auto it =
          std::find_if(handlers.begin(), handlers.end(), [&](const auto& h) { return h.first == key; });
      if (it == handlers.end()) {
        std::vector<std::string> known;
        for (const auto& [name, handler] : handlers) known.push_back(name);
        const std::string meant = ClosestWord(key, known);
        return At(entry.first,
                  absl::StrCat("key `", key, "` is not known",
                               meant.empty() ? "" : absl::StrCat("; did you mean `", meant, "`?")));
      }
      // A key without a value means as much as no key.
      if (entry.second.IsNull()) continue;
      it->second(key, entry.second);
      RETURN_IF_ERROR(status_);
    }
    if (!has_schema) {
      return At(root, absl::StrCat(
                          "schema_version is missing; add the line `schema_version: ", kSchemaVersion, "`"));
    }
    return std::move(file_);
  }

 private:
  bool ok() const { return status_.ok(); }

  absl::Status At(const YAML::Node& node, absl::string_view message) const {
    const YAML::Mark mark = node.Mark();
    return absl::InvalidArgumentError(
        absl::StrCat(file_.file_name, ":", std::max(0, mark.line) + 1, ": ", message));
  }
  void Fail(const YAML::Node& node, absl::string_view message) {
    if (status_.ok()) status_ = At(node, message);
  }
  bool Expect(const YAML::Node& node, bool condition, const std::string& key, absl::string_view what) {
    if (!condition) Fail(node, absl::StrCat("`", key, "` must be ", what));
    return condition;
  }

  std::string Text(const std::string& key, const YAML::Node& node) {
    if (!Expect(node, node.IsScalar(), key, "a text")) return "";
    return node.Scalar();
  }

  std::uint32_t Number(const std::string& key, const YAML::Node& node, std::uint32_t most, const char* unit) {
    std::uint32_t value = 0;
    const bool good =
        node.IsScalar() && absl::SimpleAtoi(node.Scalar(), &value) && value >= 1 && value <= most;
    Expect(node, good, key,
           absl::StrCat("a whole number of ", unit, ", 1 to ", most,
                        node.IsScalar() ? absl::StrCat("; it is `", node.Scalar(), "`") : ""));
    return value;
  }

  std::vector<std::string> Words(const std::string& key, const YAML::Node& node) {
    std::vector<std::string> words;
    if (node.IsSequence()) {
      for (const YAML::Node& word : node) words.push_back(Text(key, word));
      return words;
    }
    return absl::StrSplit(Text(key, node), absl::ByAnyChar(" \t\n"), absl::SkipEmpty());
  }

  void Config(const std::string& key, const YAML::Node& node) {
    if (!Expect(node, node.IsMap(), key, "keys and values, such as `config: {LEVEL: info}`")) return;
    for (const auto& entry : node) {
      if (!Expect(entry.second, entry.second.IsScalar(), absl::StrCat(key, ".", entry.first.Scalar()),
                  "a text"))
        return;
      file_.config[entry.first.Scalar()] = entry.second.Scalar();
    }
  }

  void Annotations(const std::string& key, const YAML::Node& node) {
    if (!Expect(node, node.IsMap(), key, "keys and values")) return;
    for (const auto& entry : node) file_.annotations[entry.first.Scalar()] = ToJson(entry.second).dump();
  }

  static nlohmann::ordered_json ToJson(const YAML::Node& node) {
    if (node.IsMap()) {
      auto object = nlohmann::ordered_json::object();
      for (const auto& entry : node) object[entry.first.Scalar()] = ToJson(entry.second);
      return object;
    }
    if (node.IsSequence()) {
      auto array = nlohmann::ordered_json::array();
      for (const YAML::Node& element : node) array.push_back(ToJson(element));
      return array;
    }
    if (!node.IsScalar()) return nullptr;
    const std::string& text = node.Scalar();
    // "!" is the tag of a quoted scalar: a text, whatever it looks like.
    if (node.Tag() != "!") {
      if (text == "true" || text == "false") return text == "true";
      std::int64_t whole = 0;
      double real = 0;
      if (absl::SimpleAtoi(text, &whole)) return whole;
      if (absl::SimpleAtod(text, &real)) return real;
      if (text == "null" || text == "~") return nullptr;
    }
    return text;
  }

  void Expects(const std::string& key, const YAML::Node& node) {
    if (!Expect(node, node.IsMap(), key, "a map with the key `config`")) return;
    const YAML::Node& config = node["config"];
    if (!config.IsDefined() || config.IsNull()) return;
    if (!Expect(config, config.IsSequence(), "expects.config", "a list of {name, required}")) return;
    for (const YAML::Node& entry : config) {
      const bool good = entry.IsMap() && entry["name"].IsDefined() && entry["name"].IsScalar();
      if (!Expect(entry, good, "expects.config", "a list of {name, required}")) return;
      FuncFile::ExpectedConfig expected;
      expected.name = entry["name"].Scalar();
      expected.line = entry.Mark().line + 1;
      const YAML::Node& required = entry["required"];
      expected.required = required.IsDefined() && required.IsScalar() && required.Scalar() == "true";
      file_.expected_config.push_back(std::move(expected));
    }
  }

  const std::string directory_;
  FuncFile file_;
  absl::Status status_;
};

}  // namespace

absl::StatusOr<FuncFile> ParseFuncFile(absl::string_view text, const std::string& file_name,
                                       const std::string& directory) {
  std::string source(text);
  if (absl::EndsWith(file_name, ".json")) {
    // JSON is YAML but for tabs, which JSON allows between its words only.
    try {
      [[maybe_unused]] const auto checked = nlohmann::json::parse(source);
    } catch (const nlohmann::json::parse_error& error) {
      const auto line =
          1 + std::count(source.begin(),
                         source.begin() + static_cast<std::ptrdiff_t>(std::min(error.byte, source.size())),
                         '\n');
      return absl::InvalidArgumentError(absl::StrCat(file_name, ":", line,
                                                     ": this is not JSON; check its commas, "
                                                     "quotes and brackets"));
    }
    std::replace(source.begin(), source.end(), '\t', ' ');
  }
  // yaml-cpp speaks in exceptions; none leaves this function.
  try {
    const YAML::Node root = YAML::Load(source);
    if (!root.IsDefined() || root.IsNull()) {
      return absl::InvalidArgumentError(absl::StrCat(file_name,
                                                     ":1: the file is empty; it needs at least "
                                                     "schema_version, name, runtime and cmd"));
    }
    return Reader(file_name, directory).Read(root);
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(file_name, ":", std::max(0, error.mark.line) + 1, ": this is not YAML: ", error.msg));
  }
}

absl::StatusOr<FuncFile> ReadFuncFile(const std::string& directory) {
  for (const char* name : {"func.yaml", "func.yml", "func.json"}) {
    const std::filesystem::path path = std::filesystem::path(directory) / name;
    std::error_code error;
    if (!std::filesystem::exists(path, error)) continue;
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    if (!file) {
      return LocalError(absl::NotFoundError(absl::StrCat(path.string(), " can't be read; check its mode")),
                        local_reason::kFile);
    }
    return ParseFuncFile(text.str(), name, directory);
  }
  return absl::NotFoundError(absl::StrCat("there is no func.yaml, func.yml or func.json in ", directory,
                                          "; name the function's folder, or write one (schema_version, name, "
                                          "runtime, cmd)"));
}

}  // namespace thaw::cli
