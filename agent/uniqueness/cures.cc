#include "agent/uniqueness/cures.h"

#include <algorithm>
#include <cstddef>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/randomness/binary_facts.h"

namespace thaw::agent {
namespace {

using thaw::common::v1::FreezeSettings;

constexpr char kShim[] = "/thaw/preload/libthaw-unique.so";
constexpr char kNodeHook[] = "--require /thaw/preload/node.js";

bool IsWithout(const FreezeSettings& settings, absl::string_view name) {
  return std::find(settings.without_cures().begin(), settings.without_cures().end(), name) != settings.without_cures().end();
}

// Collects what is found of all processes.
class Verdict {
 public:
  Verdict(const FreezeSettings& settings, bool has_fdk) : settings_(settings), has_fdk_(has_fdk) {}

  void Add(const ProcessRandomness& process) {
    const bool node = process.has_node;
    AddShimCure(process, cure::kOpenssl, 0, process.has_openssl, "OpenSSL");
    AddShimCure(process, cure::kPythonRandom, 1, process.has_python, "Python");
    AddShimCure(process, cure::kNodeMathRandom, 2, node, "Node");
    AddShimCure(process, cure::kJavaRandom, 3, process.has_java, "a JVM");
    AddGo(process);
    for (const std::string& file : process.hidden_openssl) {
      Missing(cure::kOpenssl, absl::StrCat(file, " has an OpenSSL of its own inside and does not export RAND_poll, so nothing "
                                                 "can make it reseed; link it against a shared libcrypto"));
    }
    for (const std::string& runtime : process.unreachable) {
      Missing(runtime, absl::StrCat("there is no cure for the random numbers of ", runtime, " in ", Name(process),
                                    "; seed them anew in each call that needs unguessable ones"));
    }
  }

  CureReport Report() && {
    if (IsWithout(settings_, cure::kDroppablePages)) {
      off_.insert(cure::kDroppablePages);
    } else {
      cures_.insert(cure::kDroppablePages);
    }
    CureReport report;
    report.cures.assign(cures_.begin(), cures_.end());
    report.uncured.assign(uncured_.begin(), uncured_.end());
    report.switched_off.assign(off_.begin(), off_.end());
    return report;
  }

 private:
  static std::string Name(const ProcessRandomness& process) {
    return absl::StrCat("process ", process.pid, " (", process.program, ")");
  }

  void Missing(absl::string_view name, const std::string& why) {
    if (IsWithout(settings_, name)) {
      off_.insert(std::string(name));
    } else {
      uncured_.insert(absl::StrCat(name, ": ", why));
    }
  }

  void AddShimCure(const ProcessRandomness& process, const char* name, std::size_t letter, bool needed,
                   absl::string_view what) {
    const char answer = process.shim.size() > letter ? process.shim[letter] : '-';
    if (!needed && answer == '-') return;
    if (IsWithout(settings_, name)) {
      off_.insert(name);
    } else if (answer == '+') {
      cures_.insert(name);
    } else if (letter == 3 && has_fdk_) {
      cures_.insert(name);
    } else if (process.is_static) {
      Missing(name, absl::StrCat(Name(process), " has ", what, " and is statically linked, so no library can be preloaded; "
                                                               "link it dynamically"));
    } else if (process.shim.empty()) {
      Missing(name, absl::StrCat(Name(process), " has ", what, ", and the shim is not in it: it was started without the "
                                                               "LD_PRELOAD that Thaw sets; keep that variable for it"));
    } else if (letter == 2) {
      Missing(name, absl::StrCat(Name(process), " is Node, and the hook is not in it: it was started without the NODE_OPTIONS "
                                                "that Thaw sets; keep that variable for it"));
    } else {
      Missing(name, absl::StrCat("the shim in ", Name(process), " can't reach ", what));
    }
  }

  void AddGo(const ProcessRandomness& process) {
    if (process.go_version.empty()) return;
    if (IsWithout(settings_, cure::kGoRandom)) {
      off_.insert(cure::kGoRandom);
    } else if (GoMinor(process.go_version) < kFirstCurableGo) {
      Missing(cure::kGoRandom, absl::StrCat(Name(process), " was built by ", process.go_version,
                                            ", whose math/rand can't be seeded from outside; build it with go1.22 or newer"));
    } else if (process.go_generators == 0) {
      Missing(cure::kGoRandom,
              absl::StrCat("no generator of math/rand was found in the memory of ", Name(process), " (", process.go_version, ")"));
    } else {
      cures_.insert(cure::kGoRandom);
    }
  }

  const FreezeSettings& settings_;
  const bool has_fdk_;
  std::set<std::string> cures_;
  std::set<std::string> uncured_;
  std::set<std::string> off_;
};

}  // namespace

CureReport JudgeCures(const std::vector<ProcessRandomness>& processes, const FreezeSettings& settings, bool has_fdk) {
  Verdict verdict(settings, has_fdk);
  for (const ProcessRandomness& process : processes) verdict.Add(process);
  return std::move(verdict).Report();
}

absl::Status MayFreeze(const CureReport& report, const FreezeSettings& settings) {
  if (report.uncured.empty() || settings.accept_uncured()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("two restores would draw the same random numbers: ", absl::StrJoin(report.uncured, "; "),
                   "; or accept that with `accept-uncured: true` under `thaw:` in func.yaml"));
}

void TellCures(const CureReport& report, const FreezeSettings& settings, thaw::common::v1::Diagnosis& diagnosis) {
  const bool blocks = !MayFreeze(report, settings).ok();
  diagnosis.mutable_cures()->Add(report.cures.begin(), report.cures.end());
  for (const std::string& uncured : report.uncured) {
    diagnosis.add_uncured(uncured);
    thaw::common::v1::Finding& finding = *diagnosis.add_findings();
    finding.set_kind(thaw::common::v1::OBSTACLE_KIND_RANDOMNESS);
    finding.set_what(uncured);
    finding.set_fd(-1);
    finding.set_action(blocks ? thaw::common::v1::OBSTACLE_ACTION_ERROR : thaw::common::v1::OBSTACLE_ACTION_IGNORE);
    finding.set_blocks(blocks);
    finding.set_remedy("have the cure put in place, or say `accept-uncured` where equal random numbers do no harm");
  }
}

void AddCures(const FreezeSettings& settings, std::map<std::string, std::string>& env) {
  const bool node = !IsWithout(settings, cure::kNodeMathRandom);
  if (!node && IsWithout(settings, cure::kOpenssl) && IsWithout(settings, cure::kPythonRandom) &&
      IsWithout(settings, cure::kJavaRandom)) {
    return;
  }
  std::string& preload = env["LD_PRELOAD"];
  preload = preload.empty() ? kShim : absl::StrCat(preload, ":", kShim);
  if (!node) return;
  std::string& options = env["NODE_OPTIONS"];
  options = options.empty() ? kNodeHook : absl::StrCat(kNodeHook, " ", options);
}

std::vector<std::string> WithoutCures(const FreezeSettings& settings) {
  std::vector<std::string> known;
  for (const char* name : {cure::kOpenssl, cure::kPythonRandom, cure::kNodeMathRandom, cure::kJavaRandom, cure::kGoRandom,
                           cure::kDroppablePages}) {
    if (IsWithout(settings, name)) known.push_back(name);
  }
  return known;
}

}  // namespace thaw::agent
