#include "agent/init/order.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "agent/init/paths.h"

namespace thaw::init {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxTimeoutMs = 60 * 60 * 1000;
constexpr size_t kReasonLimit = 4096;

Outcome Wrong(const std::string& field, const std::string& expected) {
  return Outcome(Code::kInvalidArgument, "order field '" + field + "' must be " + expected);
}

std::string TextIn(const Json& json, const char* name) {
  if (!json.is_object()) return "";
  const auto it = json.find(name);
  return it != json.end() && it->is_string() ? it->get<std::string>() : "";
}

bool NumberIn(const Json& json, const char* name, int* number) {
  const auto it = json.find(name);
  if (it == json.end() || !it->is_number_integer()) return false;
  *number = it->get<int>();
  return true;
}

bool HasNul(const std::string& text) { return text.find('\0') != std::string::npos; }

// Reads typed fields of one order; remembers the first fault.
class Fields {
 public:
  explicit Fields(const Json& json) : json_(json) {}

  std::string String(const char* name, bool required) {
    const Json* value = Find(name, required);
    if (value == nullptr) return "";
    if (!value->is_string() || HasNul(value->get_ref<const std::string&>())) {
      Fault(name, "a string without NUL");
      return "";
    }
    return value->get<std::string>();
  }

  int64_t Integer(const char* name, bool required, int64_t low, int64_t high, int64_t fallback) {
    const Json* value = Find(name, required);
    if (value == nullptr) return fallback;
    if (value->is_number_unsigned() ? value->get<uint64_t>() > static_cast<uint64_t>(high)
                                    : !value->is_number_integer() || value->get<int64_t>() < low ||
                                          value->get<int64_t>() > high) {
      Fault(name, "an integer from " + std::to_string(low) + " to " + std::to_string(high));
      return fallback;
    }
    const auto number = value->get<int64_t>();
    if (number < low) Fault(name, "at least " + std::to_string(low));
    return number;
  }

  bool Bool(const char* name, bool fallback) {
    const Json* value = Find(name, false);
    if (value == nullptr) return fallback;
    if (!value->is_boolean()) {
      Fault(name, "true or false");
      return fallback;
    }
    return value->get<bool>();
  }

  std::vector<std::string> Argv(const char* name) {
    std::vector<std::string> result;
    const Json* value = Find(name, true);
    if (value == nullptr) return result;
    if (!value->is_array() || value->empty()) {
      Fault(name, "an array of at least one string");
      return result;
    }
    for (const Json& item : *value) {
      if (!item.is_string() || HasNul(item.get_ref<const std::string&>())) {
        Fault(name, "an array of strings without NUL");
        return {};
      }
      result.push_back(item.get<std::string>());
    }
    if (result[0].empty()) Fault(name, "an array whose first string is a program");
    return result;
  }

  std::vector<std::string> Env(const char* name) {
    std::vector<std::string> result;
    const Json* value = Find(name, false);
    if (value == nullptr) return result;
    if (!value->is_object()) {
      Fault(name, "an object of strings");
      return result;
    }
    for (const auto& [key, item] : value->items()) {
      if (key.empty() || key.find('=') != std::string::npos || HasNul(key) || !item.is_string() ||
          HasNul(item.get_ref<const std::string&>())) {
        Fault(name, "an object of strings, with names that are not empty and have no '='");
        return {};
      }
      result.push_back(key + "=" + item.get<std::string>());
    }
    return result;
  }

  CureSet Cures(const char* name) {
    CureSet result;
    const Json* value = Find(name, false);
    if (value == nullptr) return result;
    for (const Json& item : value->is_array() ? *value : Json::array({Json()})) {
      const std::optional<Cure> cure = item.is_string() ? ParseCure(item.get_ref<const std::string&>()) : std::nullopt;
      if (!cure) {
        Fault(name, "an array of the names of cures");
        return {};
      }
      result.Add(*cure);
    }
    return result;
  }

  GivenFiles Given() {
    GivenFiles given;
    given.sealed = Bool("sealed", false);
    if (const Json* config = Object("config"); config != nullptr) {
      for (const auto& [key, value] : config->items()) {
        if (key.empty() || (!value.is_string() && !value.is_null())) {
          Fault("config", "an object of strings and nulls");
          return given;
        }
        given.config[key] = value.is_null() ? std::nullopt : std::optional(value.get<std::string>());
      }
    }
    if (const Json* secrets = Object("secrets"); secrets != nullptr) {
      for (const auto& [name, value] : secrets->items()) {
        std::optional<std::string> content;
        if (value.is_string()) content = DecodeBase64(value.get_ref<const std::string&>());
        if (!IsSecretName(name) || !content) {
          Fault("secrets", "an object of file names and contents in base64");
          return given;
        }
        given.secrets[name] = *std::move(content);
      }
    }
    return given;
  }

  std::vector<DescriptorAction> Actions(const char* name) {
    std::vector<DescriptorAction> result;
    const Json* value = Find(name, false);
    if (value == nullptr) return result;
    const std::string expected = "an array of objects with action (close, reopen, ignore), kind, what, pid and fd";
    if (!value->is_array()) {
      Fault(name, expected);
      return result;
    }
    for (const Json& item : *value) {
      DescriptorAction action;
      const std::string act = TextIn(item, "action");
      action.action = act == "close" ? Action::kClose : act == "reopen" ? Action::kReopen : Action::kIgnore;
      action.kind = TextIn(item, "kind");
      action.what = TextIn(item, "what");
      if ((act != "close" && act != "reopen" && act != "ignore") || action.kind.empty() || !NumberIn(item, "pid", &action.pid) ||
          !NumberIn(item, "fd", &action.fd)) {
        Fault(name, expected);
        return {};
      }
      result.push_back(std::move(action));
    }
    return result;
  }

  void Fault(const std::string& field, const std::string& expected) {
    if (fault_.ok()) fault_ = Wrong(field, expected);
  }
  const Outcome& fault() const { return fault_; }

 private:
  const Json* Object(const char* name) {
    const Json* value = Find(name, false);
    if (value == nullptr || value->is_object()) return value;
    Fault(name, "an object");
    return nullptr;
  }

  const Json* Find(const char* name, bool required) {
    auto it = json_.find(name);
    if (it == json_.end() || it->is_null()) {
      if (required) Fault(name, "given");
      return nullptr;
    }
    return &*it;
  }

  const Json& json_;
  Outcome fault_;
};

bool IsPipeName(const std::string& name) {
  if (name.empty()) return true;
  if (!name.starts_with("pipe:[") || !name.ends_with("]") || name.size() < 8) return false;
  return std::all_of(name.begin() + 6, name.end() - 1, [](unsigned char c) { return std::isdigit(c) != 0; });
}

// An instance's name stands in log lines between blanks.
std::string ParseInstance(Fields& fields) {
  std::string instance = fields.String("instance", false);
  if (instance.size() > 128 || std::any_of(instance.begin(), instance.end(),
                                           [](unsigned char c) { return c <= ' ' || c >= 0x7f; })) {
    fields.Fault("instance", "at most 128 printable ASCII characters without blanks");
  }
  return instance;
}

// A directory below /cracdata; empty when it may be left out and is.
std::string ParseDir(Fields& fields, const char* name, bool required) {
  std::string dir = fields.String(name, required);
  if (dir.empty() && !required) return dir;
  while (dir.size() > 1 && dir.back() == '/') dir.pop_back();
  if (!IsSnapshotDir(dir)) fields.Fault(name, "an absolute path below /cracdata without '.' or '..'");
  return dir;
}

StartOrder ParseStart(Fields& fields) {
  StartOrder start;
  start.argv = fields.Argv("argv");
  start.env = fields.Env("env");
  if (std::string cwd = fields.String("cwd", false); !cwd.empty()) start.cwd = cwd;
  if (start.cwd[0] != '/') fields.Fault("cwd", "an absolute path");
  start.uid = static_cast<uid_t>(fields.Integer("uid", false, 0, 0xfffffffeLL, 1000));
  start.gid = static_cast<gid_t>(fields.Integer("gid", false, 0, 0xfffffffeLL, 1000));
  start.privileged = fields.Bool("privileged", false);
  start.snapshot = ParseDir(fields, "snapshot", false);
  start.instance = ParseInstance(fields);
  start.meta = fields.String("meta", false);
  start.given = fields.Given();
  return start;
}

DumpOrder ParseDump(Fields& fields) {
  DumpOrder dump;
  dump.dir = ParseDir(fields, "dir", true);
  dump.leave_running = fields.Bool("leave_running", false);
  dump.timeout_ms = fields.Integer("timeout_ms", true, 1, kMaxTimeoutMs, 0);
  dump.check = fields.Bool("check", true);
  dump.actions = fields.Actions("actions");
  dump.without_cures = fields.Cures("without_cures");
  return dump;
}

RestoreOrder ParseRestore(Fields& fields) {
  RestoreOrder restore;
  restore.dir = ParseDir(fields, "dir", true);
  restore.stdout_pipe = fields.String("stdout_pipe", false);
  restore.stderr_pipe = fields.String("stderr_pipe", false);
  if (!IsPipeName(restore.stdout_pipe)) fields.Fault("stdout_pipe", "like pipe:[123]");
  if (!IsPipeName(restore.stderr_pipe)) fields.Fault("stderr_pipe", "like pipe:[123]");
  restore.resume = fields.String("resume", false);
  if (!restore.resume.empty() && !IsMarkerName(restore.resume)) {
    fields.Fault("resume", "a marker name as a dump returned it");
  }
  restore.uid = static_cast<uid_t>(fields.Integer("uid", false, 0, 0xfffffffeLL, 1000));
  restore.gid = static_cast<gid_t>(fields.Integer("gid", false, 0, 0xfffffffeLL, 1000));
  restore.instance = ParseInstance(fields);
  restore.meta = fields.String("meta", false);
  restore.timeout_ms = fields.Integer("timeout_ms", true, 1, kMaxTimeoutMs, 0);
  restore.given = fields.Given();
  return restore;
}

// What a function is told: it ends up in a file of /run, and in an exception's message.
std::string ParseReason(Fields& fields, bool required) {
  std::string reason = fields.String("error", required);
  if (reason.size() > kReasonLimit) reason.resize(kReasonLimit);
  return reason;
}

KillOrder ParseKill(const Json& json, Fields& fields) {
  KillOrder kill;
  auto it = json.find("signal");
  if (it == json.end() || it->is_null()) {
    kill.signal = SIGTERM;
  } else if (it->is_string()) {
    kill.signal = SignalNumber(it->get<std::string>());
  } else if (it->is_number_integer()) {
    kill.signal = SignalNumber(it->dump());
  }
  if (kill.signal == 0) fields.Fault("signal", "a signal's name or number");
  kill.grace_ms = fields.Integer("grace_ms", false, 0, kMaxTimeoutMs, 0);
  return kill;
}

}  // namespace

Outcome ParseOrder(std::string_view line, Order* order) {
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Outcome(Code::kInvalidArgument, "an order must be one JSON object on one line");
  if (auto id = json.find("id"); id != json.end() && id->is_number_unsigned()) {
    order->id = id->get<uint64_t>();
  } else {
    return Wrong("id", "a number that is not negative");
  }
  Fields fields(json);
  const std::string op = fields.String("op", true);
  if (!fields.fault().ok()) return fields.fault();
  if (op == "status") {
    order->what = StatusOrder{};
  } else if (op == "resume") {
    order->what = ResumeOrder{.error = ParseReason(fields, false)};
  } else if (op == "refuse") {
    order->what = RefuseOrder{.error = ParseReason(fields, true)};
  } else if (op == "reset") {
    order->what = ResetOrder{};
  } else if (op == "look") {
    order->what = LookOrder{};
  } else if (op == "start") {
    order->what = ParseStart(fields);
  } else if (op == "save") {
    order->what = SaveOrder{.dir = ParseDir(fields, "dir", true)};
  } else if (op == "dump") {
    order->what = ParseDump(fields);
  } else if (op == "restore") {
    order->what = ParseRestore(fields);
  } else if (op == "randomness") {
    order->what = RandomnessOrder{};
  } else if (op == "give") {
    order->what = GiveOrder{fields.Given()};
  } else if (op == "kill") {
    order->what = ParseKill(json, fields);
  } else {
    return Wrong("op", "status, start, look, save, dump, resume, refuse, restore, give, randomness, kill or reset");
  }
  return fields.fault();
}

int SignalNumber(std::string_view name) {
  if (!name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c) != 0; })) {
    if (name.size() > 3) return 0;
    const int number = std::atoi(std::string(name).c_str());
    return number < NSIG ? number : 0;
  }
  if (name.starts_with("SIG")) name.remove_prefix(3);
  for (int number = 1; number < NSIG; ++number) {
    const char* abbreviation = sigabbrev_np(number);
    if (abbreviation != nullptr && name == abbreviation) return number;
  }
  return 0;
}

std::string SignalName(int signal) {
  const char* abbreviation = sigabbrev_np(signal);
  return abbreviation != nullptr ? std::string("SIG") + abbreviation : "SIG" + std::to_string(signal);
}

bool IsMarkerName(std::string_view name) {
  constexpr std::string_view kPrefix = "resume-";
  return name.starts_with(kPrefix) && name.size() > kPrefix.size() && name.size() <= 64 &&
         std::all_of(name.begin() + kPrefix.size(), name.end(),
                     [](unsigned char c) { return std::isdigit(c) != 0 || (c >= 'a' && c <= 'z'); });
}

std::string MakeMarkerName() {
  std::array<unsigned char, 16> random{};
  // Never short for 16 bytes, and the pool is ready long before a container runs.
  (void)!::getrandom(random.data(), random.size(), 0);
  std::string name = "resume-";
  for (unsigned char byte : random) {
    constexpr char kHex[] = "0123456789abcdef";
    name += kHex[byte >> 4];
    name += kHex[byte & 15];
  }
  return name;
}

bool IsSnapshotDir(std::string_view dir) {
  const std::string root = std::string(kSnapshotRoot) + "/";
  if (!dir.starts_with(root) || dir.size() == root.size()) return false;
  dir.remove_prefix(root.size());
  while (true) {
    const size_t slash = dir.find('/');
    const std::string_view part = dir.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == std::string_view::npos) return true;
    dir.remove_prefix(slash + 1);
  }
}

}  // namespace thaw::init
