#include "agent/init/unique_shim.h"

#include <dirent.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "agent/init/process_table.h"

namespace thaw::init {
namespace {

constexpr std::array<const char*, 6> kCureNames = {"openssl",     "python-random", "node-math-random",
                                                   "java-random", "go-random",     "droppable-pages"};
constexpr int kShimSignal = 61;
constexpr std::string_view kNamePrefix = "thaw-u ";
constexpr int kRequestShift = 16;
constexpr int kWithoutShift = 20;

std::string TaskFile(pid_t pid, pid_t thread, const char* file) {
  return "/proc/" + std::to_string(pid) + "/task/" + std::to_string(thread) + "/" + file;
}

std::string ThreadName(pid_t pid, pid_t thread) {
  std::string name = ReadSmallFile(TaskFile(pid, thread, "comm"));
  while (!name.empty() && name.back() == '\n') name.pop_back();
  return name;
}

template <typename Number>
bool ReadNumber(std::string_view text, Number* number, int base = 10) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), *number, base);
  return result.ec == std::errc() && result.ptr == text.data() + text.size();
}

std::vector<std::string_view> Words(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    const size_t end = std::min(line.find(' '), line.size());
    if (end > 0) words.push_back(line.substr(0, end));
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return words;
}

bool AreLetters(std::string_view letters) {
  return letters.size() == kShimCures && letters.find_first_not_of("-+!") == std::string_view::npos;
}

}  // namespace

const char* CureName(Cure cure) { return kCureNames[static_cast<size_t>(cure)]; }

std::optional<Cure> ParseCure(std::string_view name) {
  for (size_t i = 0; i < kCureNames.size(); ++i) {
    if (name == kCureNames[i]) return static_cast<Cure>(i);
  }
  return std::nullopt;
}

std::optional<std::pair<uint16_t, std::string>> ParseShimName(std::string_view name) {
  if (!name.starts_with(kNamePrefix) || name.size() != kNamePrefix.size() + 4 + kShimCures) return std::nullopt;
  uint16_t number = 0;
  if (!ReadNumber(name.substr(kNamePrefix.size(), 4), &number, 16)) return std::nullopt;
  const std::string_view letters = name.substr(kNamePrefix.size() + 4);
  if (!AreLetters(letters)) return std::nullopt;
  return std::pair(number, std::string(letters));
}

std::vector<Shim> FindShims(const std::vector<pid_t>& pids) {
  std::vector<Shim> shims;
  for (pid_t pid : pids) {
    const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
    std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(tasks.c_str()), ::closedir);
    while (const dirent* entry = dir ? ::readdir(dir.get()) : nullptr) {
      const pid_t thread = std::atoi(entry->d_name);
      if (thread <= 0) continue;
      if (const auto parsed = ParseShimName(ThreadName(pid, thread))) {
        shims.push_back({pid, thread, parsed->second});
        break;
      }
    }
  }
  return shims;
}

ShimRound::ShimRound(std::vector<Shim> shims, ShimRequest request, CureSet without)
    : shims_(std::move(shims)), answered_(shims_.size(), false) {
  // Not the number of the last round: a restored shim still has that answer in its name.
  static uint16_t last = 0;
  if (last == 0) last = static_cast<uint16_t>(::getpid() ^ static_cast<int>(::time(nullptr)));
  uint16_t number = ++last;
  for (const Shim& shim : shims_) {
    const auto parsed = ParseShimName(ThreadName(shim.pid, shim.thread));
    if (parsed && parsed->first == number) number = ++last;
  }
  number_ = number;
  for (const Shim& shim : shims_) {
    siginfo_t info{};
    info.si_signo = kShimSignal;
    info.si_code = SI_QUEUE;
    info.si_pid = ::getpid();
    const uint32_t shim_cures = without.bits() & ((1u << kShimCures) - 1);
    info.si_value.sival_int = static_cast<int>(uint32_t{number_} | static_cast<uint32_t>(request) << kRequestShift |
                                               shim_cures << kWithoutShift);
    ::syscall(SYS_rt_tgsigqueueinfo, shim.pid, shim.thread, kShimSignal, &info);
  }
}

bool ShimRound::Done() {
  bool done = true;
  for (size_t i = 0; i < shims_.size(); ++i) {
    if (answered_[i]) continue;
    const std::string name = ThreadName(shims_[i].pid, shims_[i].thread);
    const auto parsed = ParseShimName(name);
    if (parsed && parsed->first == number_) {
      shims_[i].letters = parsed->second;
      answered_[i] = true;
    } else if (!parsed) {
      // The process has ended, or has become another program.
      shims_[i].letters.assign(kShimCures, '-');
      answered_[i] = true;
    } else {
      done = false;
    }
  }
  return done;
}

std::string ShimRound::Pending() const {
  std::string text;
  for (size_t i = 0; i < shims_.size(); ++i) {
    if (answered_[i]) continue;
    if (!text.empty()) text += ", ";
    text += std::to_string(shims_[i].pid) + " (" + ThreadName(shims_[i].pid, shims_[i].pid) + ")";
  }
  return text;
}

std::string UniquePlan::ToText() const {
  std::string text;
  for (size_t i = 0; i < kCureNames.size(); ++i) {
    if (without.Has(static_cast<Cure>(i))) text += std::string("without ") + kCureNames[i] + "\n";
  }
  for (const Shim& shim : shims) {
    text += "shim " + std::to_string(shim.pid) + " " + std::to_string(shim.thread) + " " + shim.letters + "\n";
  }
  for (const GoState& state : go_states) {
    char address[17];
    const auto end = std::to_chars(address, address + sizeof address, state.address, 16);
    text += "go " + std::to_string(state.pid) + " " + std::string(address, end.ptr) + "\n";
  }
  return text;
}

Outcome UniquePlan::Parse(std::string_view text, UniquePlan* plan) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    const std::vector<std::string_view> words = Words(line);
    at = end + 1;
    bool known = false;
    if (words.size() == 2 && words[0] == "without") {
      const std::optional<Cure> cure = ParseCure(words[1]);
      known = cure.has_value();
      if (known) plan->without.Add(*cure);
    } else if (words.size() == 4 && words[0] == "shim") {
      Shim shim;
      known = ReadNumber(words[1], &shim.pid) && ReadNumber(words[2], &shim.thread) && AreLetters(words[3]);
      shim.letters = words[3];
      plan->shims.push_back(shim);
    } else if (words.size() == 3 && words[0] == "go") {
      GoState state;
      known = ReadNumber(words[1], &state.pid) && ReadNumber(words[2], &state.address, 16);
      plan->go_states.push_back(state);
    }
    if (!known) {
      return Outcome(Code::kInternal, "the snapshot's list of cures is of another thaw-init: '" + std::string(line) + "'");
    }
  }
  return {};
}

Outcome CompareAnswers(const std::vector<Shim>& expected, const std::vector<Shim>& answers) {
  for (const Shim& before : expected) {
    const auto after = std::find_if(answers.begin(), answers.end(), [&](const Shim& shim) { return shim.pid == before.pid; });
    for (size_t i = 0; i < kShimCures; ++i) {
      if (before.letters[i] != '+') continue;
      if (after != answers.end() && after->letters[i] == '+') continue;
      return Outcome(Code::kInternal, std::string("the cure ") + kCureNames[i] + " failed in process " +
                                          std::to_string(before.pid) + " (" + ThreadName(before.pid, before.pid) +
                                          "): its random numbers would be those of other restores");
    }
  }
  return {};
}

}  // namespace thaw::init
