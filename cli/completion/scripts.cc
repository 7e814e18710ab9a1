#include <algorithm>
#include <functional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "cli/completion/command_tree.h"

namespace thaw::cli {
namespace {

// Calls `visit` for every command with its path ("thaw apps create") and the options it takes, its parents'
// included.
void Walk(const CommandNode& node, const std::string& path, std::vector<OptionNode> inherited,
          const std::function<void(const std::string&, const CommandNode&, const std::vector<OptionNode>&)>&
              visit) {
  std::vector<OptionNode> options = node.options;
  for (const OptionNode& option : inherited) {
    // Help is each command's own.
    if (option.long_names != std::vector<std::string>{"help"}) options.push_back(option);
  }
  visit(path, node, options);
  for (const CommandNode& child : node.subcommands) {
    Walk(child, absl::StrCat(path, " ", child.name), options, visit);
  }
}

std::vector<std::string> Spellings(const OptionNode& option) {
  std::vector<std::string> words;
  for (const std::string& name : option.long_names) words.push_back("--" + name);
  for (const std::string& name : option.short_names) words.push_back("-" + name);
  return words;
}

bool TakesFile(const std::string& type) { return absl::StrContains(type, "FILE"); }
bool TakesDirectory(const std::string& type) { return type == "DIR"; }

std::string SingleQuoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}, {"\n", " "}}), "'");
}

// `case` arms that move `variable` from a command to its subcommand; aliases lead to the same place.
std::string PathArms(const CommandNode& root, const std::string& variable, const std::string& indent) {
  std::string out;
  Walk(root, root.name, {},
       [&](const std::string& path, const CommandNode& node, const std::vector<OptionNode>&) {
         for (const CommandNode& child : node.subcommands) {
           std::vector<std::string> patterns = {absl::StrCat("\"", path, " ", child.name, "\"")};
           for (const std::string& alias : child.aliases)
             patterns.push_back(absl::StrCat("\"", path, " ", alias, "\""));
           absl::StrAppend(&out, indent, absl::StrJoin(patterns, "|"), ") ", variable, "=\"", path, " ",
                           child.name, "\" ;;\n");
         }
       });
  return out;
}

// All spellings of options that a value follows, as a `case` pattern.
std::string ValuePattern(const CommandNode& root) {
  std::vector<std::string> words;
  Walk(root, root.name, {}, [&](const std::string&, const CommandNode& node, const std::vector<OptionNode>&) {
    for (const OptionNode& option : node.options) {
      if (!option.takes_value) continue;
      for (const std::string& word : Spellings(option)) {
        if (std::find(words.begin(), words.end(), word) == words.end()) words.push_back(word);
      }
    }
  });
  return absl::StrJoin(words, "|");
}

}  // namespace

std::string BashCompletion(const CommandNode& root) {
  std::string out = absl::StrCat(
      "# bash completion for ", root.name, ". Made by `", root.name, " completion bash`.\n", "_", root.name,
      "() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} path=\"",
      root.name,
      "\" word i\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    word=${COMP_WORDS[i]}\n"
      "    case $word in\n"
      "      ",
      ValuePattern(root),
      ") ((i++)); continue ;;\n"
      "    esac\n"
      "    case \"$path $word\" in\n",
      PathArms(root, "path", "      "),
      "    esac\n"
      "  done\n"
      "  COMPREPLY=()\n"
      "  case \"$path $prev\" in\n");
  std::string words;
  Walk(root, root.name, {},
       [&](const std::string& path, const CommandNode& node, const std::vector<OptionNode>& options) {
         std::vector<std::string> all;
         for (const CommandNode& child : node.subcommands) all.push_back(child.name);
         for (const OptionNode& option : options) {
           for (const std::string& word : Spellings(option)) {
             all.push_back(word);
             if (!option.takes_value) continue;
             const char* what = TakesFile(option.value_type)        ? "-f"
                                : TakesDirectory(option.value_type) ? "-d"
                                                                    : nullptr;
             absl::StrAppend(&out, "    \"", path, " ", word, "\") ",
                             what == nullptr
                                 ? "return"
                                 : absl::StrCat("COMPREPLY=($(compgen ", what, " -- \"$cur\")); return"),
                             " ;;\n");
           }
         }
         const bool directory = !node.positionals.empty() && TakesDirectory(node.positionals.front());
         absl::StrAppend(&words, "    \"", path, "\") COMPREPLY=($(compgen ", directory ? "-d " : "", "-W \"",
                         absl::StrJoin(all, " "), "\" -- \"$cur\")) ;;\n");
       });
  absl::StrAppend(&out, "  esac\n  case \"$path\" in\n", words, "  esac\n}\ncomplete -o filenames -F _",
                  root.name, " ", root.name, "\n");
  return out;
}

std::string ZshCompletion(const CommandNode& root) {
  // Not `path`, which is PATH itself in zsh.
  std::string out = absl::StrCat("#compdef ", root.name, "\n# zsh completion for ", root.name, ". Made by `",
                                 root.name, " completion zsh`.\n", "_", root.name,
                                 "() {\n"
                                 "  local at=\"",
                                 root.name,
                                 "\" word prev=${words[CURRENT-1]} i\n"
                                 "  local -a commands options\n"
                                 "  for ((i = 2; i < CURRENT; i++)); do\n"
                                 "    word=${words[i]}\n"
                                 "    case $word in\n"
                                 "      ",
                                 ValuePattern(root),
                                 ") ((i++)); continue ;;\n"
                                 "    esac\n"
                                 "    case \"$at $word\" in\n",
                                 PathArms(root, "at", "      "),
                                 "    esac\n"
                                 "  done\n"
                                 "  case \"$at $prev\" in\n");
  std::string arms;
  const auto colon = [](const std::string& text) { return absl::StrReplaceAll(text, {{":", "\\:"}}); };
  Walk(root, root.name, {},
       [&](const std::string& path, const CommandNode& node, const std::vector<OptionNode>& options) {
         absl::StrAppend(&arms, "    \"", path, "\")\n");
         std::vector<std::string> commands, words;
         for (const CommandNode& child : node.subcommands) {
           commands.push_back(SingleQuoted(absl::StrCat(child.name, ":", colon(child.description))));
         }
         for (const OptionNode& option : options) {
           for (const std::string& word : Spellings(option)) {
             words.push_back(SingleQuoted(absl::StrCat(word, ":", colon(option.description))));
             if (!option.takes_value) continue;
             absl::StrAppend(&out, "    \"", path, " ", word, "\") ",
                             TakesFile(option.value_type) ? "_files; return"
                             : TakesDirectory(option.value_type)
                                 ? "_files -/; return"
                                 : absl::StrCat("_message ", SingleQuoted(option.value_type), "; return"),
                             " ;;\n");
           }
         }
         absl::StrAppend(&arms, "      commands=(", absl::StrJoin(commands, " "), ")\n      options=(",
                         absl::StrJoin(words, " "), ")\n");
         if (!node.positionals.empty() && TakesDirectory(node.positionals.front())) {
           absl::StrAppend(&arms, "      _files -/\n");
         }
         absl::StrAppend(&arms, "      ;;\n");
       });
  absl::StrAppend(&out, "  esac\n  case \"$at\" in\n", arms,
                  "  esac\n"
                  "  ((${#commands})) && _describe -t commands command commands\n"
                  "  _describe -t options option options\n"
                  "}\n"
                  "if [[ $funcstack[1] == _",
                  root.name, " ]]; then _", root.name, " \"$@\"; else compdef _", root.name, " ", root.name,
                  "; fi\n");
  return out;
}

std::string FishCompletion(const CommandNode& root) {
  std::string out = absl::StrCat("# fish completion for ", root.name, ". Made by `", root.name,
                                 " completion fish`.\n", "function __", root.name,
                                 "_at\n"
                                 "  set -l path ",
                                 root.name,
                                 "\n"
                                 "  set -l skip 0\n"
                                 "  for word in (commandline -opc)[2..-1]\n"
                                 "    if test $skip = 1\n"
                                 "      set skip 0\n"
                                 "      continue\n"
                                 "    end\n"
                                 "    switch $word\n"
                                 "      case ",
                                 absl::StrReplaceAll(ValuePattern(root), {{"|", " "}}),
                                 "\n"
                                 "        set skip 1\n"
                                 "        continue\n"
                                 "    end\n"
                                 "    switch \"$path $word\"\n");
  Walk(root, root.name, {},
       [&](const std::string& path, const CommandNode& node, const std::vector<OptionNode>&) {
         for (const CommandNode& child : node.subcommands) {
           std::vector<std::string> patterns = {absl::StrCat("'", path, " ", child.name, "'")};
           for (const std::string& alias : child.aliases)
             patterns.push_back(absl::StrCat("'", path, " ", alias, "'"));
           absl::StrAppend(&out, "      case ", absl::StrJoin(patterns, " "), "\n        set path '", path,
                           " ", child.name, "'\n");
         }
       });
  absl::StrAppend(&out, "    end\n  end\n  test \"$path\" = \"$argv\"\nend\ncomplete -c ", root.name,
                  " -f\n");
  Walk(root, root.name, {},
       [&](const std::string& path, const CommandNode& node, const std::vector<OptionNode>& options) {
         const std::string at =
             absl::StrCat("complete -c ", root.name, " -n \"__", root.name, "_at ", path, "\"");
         for (const CommandNode& child : node.subcommands) {
           absl::StrAppend(&out, at, " -a ", child.name, " -d ", SingleQuoted(child.description), "\n");
         }
         if (!node.positionals.empty() && TakesDirectory(node.positionals.front())) {
           absl::StrAppend(&out, at, " -a '(__fish_complete_directories)'\n");
         }
         for (const OptionNode& option : options) {
           std::string line = at;
           for (const std::string& name : option.long_names) absl::StrAppend(&line, " -l ", name);
           for (const std::string& name : option.short_names) absl::StrAppend(&line, " -s ", name);
           if (option.takes_value) {
             absl::StrAppend(&line, TakesFile(option.value_type) ? " -r -F"
                                    : TakesDirectory(option.value_type)
                                        ? " -x -a '(__fish_complete_directories)'"
                                        : " -x");
           }
           absl::StrAppend(&out, line, " -d ", SingleQuoted(option.description), "\n");
         }
       });
  return out;
}

}  // namespace thaw::cli
