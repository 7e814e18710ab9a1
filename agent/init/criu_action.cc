#include "agent/init/criu_action.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "agent/init/go_random.h"
#include "agent/init/outcome.h"
#include "agent/init/paths.h"
#include "agent/init/process_table.h"
#include "agent/init/random_facts.h"
#include "agent/init/snapshot_files.h"
#include "agent/init/unique_fd.h"
#include "agent/init/unique_shim.h"
#include "agent/init/volatile_pages.h"

namespace thaw::init {
namespace {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

CureSet Without() {
  const unsigned long bits = std::strtoul(Variable(kActionWithoutVariable).c_str(), nullptr, 10);
  CureSet without;
  for (unsigned i = 0; i <= static_cast<unsigned>(Cure::kDroppablePages); ++i) {
    if ((bits >> i & 1) != 0) without.Add(static_cast<Cure>(i));
  }
  return without;
}

// The processes whose images were written.
std::vector<pid_t> DumpedPids(const std::string& images) {
  std::vector<pid_t> pids;
  for (const ProcessInfo& process : ListProcesses()) {
    const std::string image = images + "/core-" + std::to_string(process.pid) + ".img";
    // Not access(), which asks for the real uid: CRIU's is the function's.
    struct stat info {};
    if (::lstat(image.c_str(), &info) == 0) pids.push_back(process.pid);
  }
  return pids;
}

Outcome WriteUniquePlan(const std::string& images, const std::string& files) {
  UniquePlan plan;
  plan.without = Without();
  const std::vector<pid_t> pids = DumpedPids(images);
  plan.shims = FindShims(pids);
  if (!plan.without.Has(Cure::kGoRandom)) {
    RandomFacts facts;
    for (pid_t pid : pids) {
      if (facts.Of(pid).go_version.empty()) continue;
      std::vector<uint64_t> addresses;
      if (Outcome found = FindGoStatesOf(pid, &addresses); !found.ok()) return found;
      for (uint64_t address : addresses) plan.go_states.push_back({pid, address});
    }
  }
  const std::string path = files + "/" + kUniquePlanName;
  const std::string text = plan.ToText();
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return ErrnoOutcome(errno, "cannot write " + path);
  }
  return {};
}

Outcome AfterDump(const std::string& images, const std::string& files) {
  if (files.empty() || images.empty()) {
    return Outcome(Code::kInternal, "criu's action was called without its directories");
  }
  if (Outcome saved = SaveFiles(files); !saved.ok()) return saved;
  if (!Without().Has(Cure::kDroppablePages)) {
    if (Outcome zeroed = ZeroVolatilePages(images); !zeroed.ok()) return zeroed;
  }
  return WriteUniquePlan(images, files);
}

// CRIU goes on whatever becomes of this, so thaw-init asks for the file that it leaves.
Outcome BeforeResume(const std::string& files) {
  UniquePlan plan;
  if (Outcome parsed = UniquePlan::Parse(ReadSmallFile(files + "/" + kUniquePlanName), &plan); !parsed.ok()) return parsed;
  for (const UniquePlan::GoState& state : plan.go_states) {
    if (Outcome seeded = ReseedGoState(state.pid, state.address); !seeded.ok()) return seeded;
  }
  const std::string path = std::string(kWorkDir) + "/" + kActionSeededName;
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!file) return ErrnoOutcome(errno, "cannot make " + path);
  return {};
}

}  // namespace

int RunCriuAction() {
  const std::string stage = Variable("CRTOOLS_SCRIPT_ACTION");
  const std::string files = Variable(kActionFilesVariable);
  Outcome outcome;
  if (stage == "post-dump") outcome = AfterDump(Variable("CRTOOLS_IMAGE_DIR"), files);
  if (stage == "pre-resume") outcome = BeforeResume(files);
  if (outcome.ok()) return 0;
  const std::string path = std::string(kWorkDir) + "/" + kActionErrorName;
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  const std::string text = std::string(1, static_cast<char>('A' + static_cast<int>(outcome.code()))) + outcome.message();
  (void)!::write(file.get(), text.data(), text.size());
  return 1;
}

}  // namespace thaw::init
