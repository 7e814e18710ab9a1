#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/commands/run.h"
#include "cli/completion/command_tree.h"
#include "cli/process/posix_runner.h"
#include "tests/cli/fakes.h"

namespace thaw::cli {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::TestEnvironment;

std::string Script(const char* shell) {
  TestEnvironment env;
  EXPECT_EQ(env.Run({"completion", shell}), 0);
  return env.out.str();
}

// Every command of the tree, by its path.
void ForEachCommand(const CLI::App& app, const std::string& path,
                    const std::function<void(const std::string&, const CLI::App&)>& visit) {
  visit(path, app);
  for (const CLI::App* child : app.get_subcommands([](const CLI::App*) { return true; })) {
    ForEachCommand(*child, absl::StrCat(path, " ", child->get_name()), visit);
  }
}

TEST(Completion, EveryScriptHasEverySubcommandAndOption) {
  TestEnvironment env;
  Environment environment{env.in,    env.out,      env.err,
                          {},        {},           [](const std::string&) { return std::nullopt; },
                          nullptr,   nullptr,      env.docker,
                          env.metrics, env.clock, env.interrupt};
  Context context(environment);
  Command selected;
  const auto tree = MakeCommandTree(context, selected);
  int commands = 0;
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const std::string script = Script(shell);
    ForEachCommand(*tree, "thaw", [&](const std::string& path, const CLI::App& app) {
      ++commands;
      EXPECT_THAT(script, HasSubstr(path)) << shell;
      for (const CLI::Option* option : app.get_options()) {
        for (const std::string& name : option->get_lnames()) {
          EXPECT_THAT(script, HasSubstr(std::string(shell) == "fish" ? " -l " + name : "--" + name))
              << shell << path;
        }
      }
    });
  }
  EXPECT_GT(commands, 3 * 20);
}

// What bash offers for a command line; the last word is the one being typed.
std::vector<std::string> BashOffers(const std::vector<std::string>& words) {
  std::string line = Script("bash");
  absl::StrAppend(&line, "\nCOMP_WORDS=(");
  for (const std::string& word : words) absl::StrAppend(&line, "'", word, "' ");
  absl::StrAppend(&line, ")\nCOMP_CWORD=", words.size() - 1, "\n_thaw\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n");
  thaw::testing::FakeClock clock;
  testing::FakeInterrupt interrupt(clock);
  PosixProcessRunner runner(interrupt);
  ProcessSpec spec;
  spec.argv = {"bash", "-c", line};
  spec.timeout = absl::Seconds(20);
  const auto result = runner.Run(spec);
  EXPECT_TRUE(result.ok()) << result.status();
  if (!result.ok()) return {};
  EXPECT_EQ(result->error_output, "");
  return absl::StrSplit(result->output, '\n', absl::SkipEmpty());
}

TEST(Completion, BashOffersWhatFits) {
  EXPECT_THAT(BashOffers({"thaw", "de"}), ::testing::UnorderedElementsAre("deploy", "demo"));
  EXPECT_THAT(BashOffers({"thaw", "apps", "c"}), ::testing::ElementsAre("create"));
  EXPECT_THAT(BashOffers({"thaw", "fn", "upd"}), ::testing::ElementsAre("update"));  // through the alias
  EXPECT_THAT(BashOffers({"thaw", "apps", "create", "--c"}), ::testing::ElementsAre("--config"));
  EXPECT_THAT(BashOffers({"thaw", "apps", "create", "--j"}), ::testing::ElementsAre("--json"));
}

TEST(Completion, BashSkipsTheValuesOfOptions) {
  // `deploy` is the value of --server, not a command.
  EXPECT_THAT(BashOffers({"thaw", "--server", "deploy", "no"}), ::testing::ElementsAre("nodes"));
  EXPECT_THAT(BashOffers({"thaw", "invoke", "--node", ""}), IsEmpty());
}

TEST(Completion, BashOffersFoldersToDeploy) {
  testing::TempDirectory directory;
  directory.Write("function/func.yaml", "");
  EXPECT_THAT(BashOffers({"thaw", "deploy", directory.path() + "/f"}),
              Contains(directory.path() + "/function"));
}

TEST(Completion, ZshKeepsItsHandsOffPath) {
  // In zsh the array `path` is PATH itself.
  EXPECT_THAT(Script("zsh"), Not(HasSubstr(" path=")));
  EXPECT_THAT(Script("zsh"), Not(HasSubstr("$path")));
}

}  // namespace
}  // namespace thaw::cli
