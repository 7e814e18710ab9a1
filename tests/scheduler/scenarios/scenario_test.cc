// Runs the scenarios of this folder (README.md has the language).
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/cpu/features.h"
#include "tests/scheduler/support/test_scheduler.h"

namespace thaw::scheduler {
namespace {

using testing::DigestId;
using testing::FakeLeaseWatcher;
using testing::FakeNodeLink;
using testing::ImageId;
using testing::TestScheduler;

// One line: its plain words, its key=value words, and what stands behind "->".
struct Line {
  std::vector<std::string> words;
  std::map<std::string, std::string> values;
  std::string result;

  static Line Parse(absl::string_view text) {
    Line line;
    bool behind_arrow = false;
    for (absl::string_view word : absl::StrSplit(text, absl::ByAnyChar(" \t"), absl::SkipEmpty())) {
      if (word == "->") {
        behind_arrow = true;
      } else if (behind_arrow) {
        line.result = std::string(word);
      } else if (const std::size_t equals = word.find('=');
                 equals != absl::string_view::npos && !absl::StrContains(word, '{')) {
        line.values[std::string(word.substr(0, equals))] = std::string(word.substr(equals + 1));
      } else {
        line.words.emplace_back(word);
      }
    }
    return line;
  }
  std::string Word(std::size_t index) const { return index < words.size() ? words[index] : ""; }
  std::string Value(const std::string& key, const std::string& otherwise = "") const {
    const auto it = values.find(key);
    return it == values.end() ? otherwise : it->second;
  }
  int Number(const std::string& key, int otherwise) const {
    int number = otherwise;
    const auto it = values.find(key);
    if (it != values.end() && !absl::SimpleAtoi(it->second, &number)) ADD_FAILURE() << key << " is no number";
    return number;
  }
  std::vector<std::string> List(const std::string& key) const {
    return absl::StrSplit(Value(key), ',', absl::SkipEmpty());
  }
};

class Scenario {
 public:
  Scenario() { Watch(); }

  void Run(const Line& line) {
    const std::string verb = line.Word(0);
    if (verb == "function") return Function(line);
    if (verb == "update" || verb == "delete") return Change(line);
    if (verb == "node") return NodeDoes(line);
    if (verb == "wait") return Wait(line);
    if (verb == "pause") return Pause(line);
    if (verb == "restart") return Restart();
    if (verb == "acquire") return Acquire(line);
    if (verb == "renew") return Renew(line);
    if (verb == "freeze" || verb == "publish" || verb == "hold" || verb == "gone" || verb == "remove" ||
        verb == "fail") {
      return Snapshot(line);
    }
    if (verb == "expect") return Expect(line);
    ADD_FAILURE() << "no such command: " << verb;
  }

 private:
  struct Node {
    Cluster::Session session;
    std::shared_ptr<FakeNodeLink> link;
    bool speaking = false;
    v1::Heartbeat heartbeat;
  };

  void Watch() {
    watcher_ = std::make_shared<FakeLeaseWatcher>();
    EXPECT_TRUE(scheduler_->leases().Watch("gw", watcher_).ok());
  }

  std::string VersionOf(const std::string& path) {
    const auto version = scheduler_->catalogue().CurrentVersion("", path);
    if (!version.ok()) {
      ADD_FAILURE() << version.status();
      return DigestId(0);
    }
    return (*version)->version_id();
  }
  common::v1::Function FunctionOf(const std::string& path) {
    const std::vector<std::string> names = absl::StrSplit(path, '/');
    return scheduler_->catalogue().GetFunction("", names.at(0), names.at(1)).value_or(common::v1::Function());
  }
  // "s7" as a snapshot's id.
  static std::string SnapshotId(const std::string& name) {
    int number = 0;
    if (name.size() < 2 || name[0] != 's' || !absl::SimpleAtoi(name.substr(1), &number)) {
      ADD_FAILURE() << "'" << name << "' is no snapshot: s and a number";
    }
    return DigestId(number);
  }
  common::v1::SnapshotInfo SnapshotOf(const std::string& name, const std::string& path, const std::string& needs = "") {
    common::v1::SnapshotInfo snapshot = TestScheduler::Snapshot(0, VersionOf(path));
    snapshot.set_id(SnapshotId(name));
    for (const auto& feature : FeaturesOf(needs)) snapshot.add_cpu_features(feature);
    return snapshot;
  }
  static CpuFeatures FeaturesOf(const std::string& level_name) {
    CpuLevel level = CpuLevel::kNative;
    EXPECT_TRUE(ParseCpuLevel(level_name, level)) << level_name << " is no level";
    return FeaturesOfLevel(level);
  }
  Node& NodeNamed(const std::string& id) {
    const auto it = nodes_.find(id);
    if (it == nodes_.end()) {
      ADD_FAILURE() << "node " << id << " never registered";
      return nodes_[id];
    }
    return it->second;
  }

  void Function(const Line& line) {
    const std::vector<std::string> names = absl::StrSplit(line.Word(1), '/');
    ASSERT_EQ(names.size(), 2u);
    scheduler_.MakeFunction(names[0], names[1], line.Number("image", 1),
                            static_cast<std::uint32_t>(line.Number("memory", 128)));
  }

  void Change(const Line& line) {
    common::v1::Function update;
    update.set_id(FunctionOf(line.Word(1)).id());
    if (line.Word(0) == "delete") {
      ASSERT_TRUE(scheduler_->catalogue().DeleteFunction(update.id()).ok());
      return;
    }
    update.set_memory_mib(static_cast<std::uint32_t>(line.Number("memory", 0)));
    if (!line.Value("config").empty()) {
      const std::vector<std::string> entry = absl::StrSplit(line.Value("config"), ':');
      (*update.mutable_config())[entry.at(0)] = entry.at(1);
    }
    const auto updated = scheduler_->catalogue().UpdateFunction(update);
    ASSERT_TRUE(updated.ok()) << updated.status();
  }

  void NodeDoes(const Line& line) {
    const std::string id = line.Word(1);
    const std::string verb = line.Word(2);
    if (verb == "registers") {
      v1::Register registration =
          TestScheduler::Registration(id, static_cast<std::uint64_t>(line.Number("memory", 1024)),
                                      static_cast<std::uint32_t>(line.Number("cpus", 2)));
      for (const auto& feature : FeaturesOf(line.Value("cpu"))) registration.mutable_node()->add_cpu_features(feature);
      for (const auto& image : line.List("images")) {
        int number = 0;
        ASSERT_TRUE(absl::SimpleAtoi(image, &number));
        registration.add_image_ids(ImageId(number));
      }
      for (const auto& entry : line.List("snapshots")) {
        const std::vector<std::string> parts = absl::StrSplit(entry, ':');
        ASSERT_EQ(parts.size(), 2u);
        *registration.add_snapshots() = SnapshotOf(parts[0], parts[1]);
      }
      Node node;
      node.link = std::make_shared<FakeNodeLink>();
      node.session = scheduler_.Join(registration, node.link);
      node.speaking = true;
      nodes_[id] = std::move(node);
      return;
    }
    Node& node = NodeNamed(id);
    if (verb == "silent" || verb == "speaks") {
      node.speaking = verb == "speaks";
      if (node.speaking) Beat(node);
    } else if (verb == "disconnects") {
      node.speaking = false;
      scheduler_->cluster().Disconnect(node.session);
    } else if (verb == "drains") {
      v1::NodeMessage message;
      message.mutable_draining();
      ASSERT_TRUE(scheduler_->cluster().OnMessage(node.session, message).ok());
    } else if (verb == "reports") {
      if (line.values.contains("reserved")) {
        node.heartbeat.set_memory_reserved_bytes(static_cast<std::uint64_t>(line.Number("reserved", 0)) << 20);
      }
      node.heartbeat.set_unhealthy_reason(line.Value("unhealthy"));
      if (!line.Word(3).empty()) {
        const std::string version_id = VersionOf(line.Word(3));
        auto& loads = *node.heartbeat.mutable_versions();
        auto load = std::find_if(loads.begin(), loads.end(),
                                 [&](const auto& entry) { return entry.version_id() == version_id; });
        auto& entry = load == loads.end() ? *loads.Add() : *load;
        entry.set_version_id(version_id);
        entry.set_instances(static_cast<std::uint32_t>(line.Number("instances", 0)));
        entry.set_busy(static_cast<std::uint32_t>(line.Number("busy", 0)));
        entry.set_slots(static_cast<std::uint32_t>(line.Number("slots", 0)));
        entry.set_waiting_calls(static_cast<std::uint32_t>(line.Number("waiting", 0)));
      }
      Beat(node);
    } else {
      ADD_FAILURE() << "a node does not do that: " << verb;
    }
  }
  void Beat(Node& node) { ASSERT_TRUE(scheduler_.Heartbeat(node.session, node.heartbeat).ok()); }

  void Wait(const Line& line) {
    absl::Duration left;
    ASSERT_TRUE(absl::ParseDuration(line.Word(1), &left)) << line.Word(1);
    while (left > absl::ZeroDuration()) {
      const absl::Duration step = std::min(left, absl::Seconds(1));
      scheduler_.clock.Advance(step);
      left -= step;
      for (auto& [id, node] : nodes_) {
        if (node.speaking) Beat(node);
      }
    }
  }
  void Pause(const Line& line) {
    absl::Duration pause;
    ASSERT_TRUE(absl::ParseDuration(line.Word(1), &pause)) << line.Word(1);
    scheduler_.clock.Jump(pause);
    // The late tick comes before any message is read.
    scheduler_.clock.Advance(absl::Milliseconds(250));
  }
  void Restart() {
    scheduler_.Restart();
    nodes_.clear();
    Watch();
  }

  void Acquire(const Line& line) {
    const std::string gateway = line.Value("as", "gw");
    const auto lease = scheduler_.Acquire(line.Word(1), gateway, line.List("not"), line.Value("pin"));
    const std::string result = lease.ok() ? lease->node_id() : absl::StatusCodeToString(lease.status().code());
    EXPECT_EQ(result, line.result) << lease.status();
    if (lease.ok()) lease_ids_[absl::StrCat(line.Word(1), "@", lease->node_id(), gateway == "gw" ? "" : " " + gateway)] = lease->lease_id();
  }
  void Renew(const Line& line) {
    const std::string gateway = line.Value("as", "gw");
    const auto it = lease_ids_.find(absl::StrCat(line.Word(1), gateway == "gw" ? "" : " " + gateway));
    ASSERT_NE(it, lease_ids_.end()) << "no lease " << line.Word(1) << " was ever acquired";
    EXPECT_EQ(scheduler_.Renew({it->second}, gateway).empty() ? "ended" : "held", line.result);
  }

  void Snapshot(const Line& line) {
    const std::string verb = line.Word(0);
    if (verb == "remove") {
      ASSERT_TRUE(scheduler_->cluster().DeleteSnapshot(SnapshotId(line.Word(1))).ok());
      return;
    }
    Node& node = NodeNamed(line.Value("on"));
    absl::Status status;
    if (verb == "freeze") {
      const auto grant = scheduler_.AskToFreeze(node.session, *node.link, VersionOf(line.Word(1)),
                                                absl::StrCat("instance-on-", line.Value("on")));
      EXPECT_EQ(grant.granted() ? "granted" : "refused", line.result) << grant.reason();
    } else if (verb == "publish") {
      status = scheduler_.Publish(node.session, SnapshotOf(line.Word(1), line.Value("of"), line.Value("needs")),
                                  absl::StrCat("instance-on-", line.Value("on")));
    } else if (verb == "hold") {
      status = scheduler_.Hold(node.session, SnapshotOf(line.Word(1), line.Value("of")));
    } else if (verb == "gone") {
      status = scheduler_.Gone(node.session, SnapshotId(line.Word(1)));
    } else {
      status = scheduler_.FailCheckpoint(node.session, VersionOf(line.Word(1)), "criu failed",
                                         absl::StrCat("instance-on-", line.Value("on")));
    }
    EXPECT_TRUE(status.ok()) << status;
  }

  void Expect(const Line& line) {
    const std::string what = line.Word(1);
    if (what == "node") {
      const auto state = scheduler_->nodes().StateOf(line.Word(2));
      std::string name = absl::AsciiStrToLower(common::v1::NodeState_Name(state).substr(sizeof("NODE_STATE_") - 1));
      if (name == "unspecified") name = "unknown";
      EXPECT_EQ(name, line.Word(3));
    } else if (what == "told") {
      std::vector<std::string> expected(line.words.begin() + 2, line.words.end());
      if (expected == std::vector<std::string>{"nothing"}) expected.clear();
      std::vector<std::string> told;
      for (const auto& id : watcher_->ended) {
        std::string name = "unknown lease";
        for (const auto& [lease, lease_id] : lease_ids_) {
          if (lease_id == id) name = lease;
        }
        told.push_back(name);
      }
      watcher_->ended.clear();
      std::sort(told.begin(), told.end());
      std::sort(expected.begin(), expected.end());
      EXPECT_EQ(absl::StrJoin(told, " "), absl::StrJoin(expected, " "));
    } else if (what == "snapshot") {
      const auto state = scheduler_->cluster().GetVersion(VersionOf(line.Word(2)), line.Value("at"));
      ASSERT_TRUE(state.ok()) << state.status();
      if (line.Word(3) == "none") {
        EXPECT_FALSE(state->has_snapshot()) << state->snapshot().id();
        EXPECT_EQ(state->unfit_reason() != "", line.Word(4) == "unfit") << state->unfit_reason();
        if (line.Word(4) == "unfit") return;
        EXPECT_EQ(state->desired_slots(), 0u);
        return;
      }
      EXPECT_EQ(state->snapshot().id(), SnapshotId(line.Word(3)));
      EXPECT_EQ(state->desired_slots(), 1u);
      std::vector<std::string> holders;
      for (const auto& holder : state->snapshot_holders()) holders.push_back(holder.node_id());
      EXPECT_EQ(absl::StrJoin(holders, ","), line.Value("holders"));
    } else if (what == "metric") {
      double value = 0;
      ASSERT_TRUE(absl::SimpleAtod(line.Word(3), &value));
      EXPECT_EQ(scheduler_.Metric(line.Word(2)), value);
    } else {
      ADD_FAILURE() << "nothing to expect of: " << what;
    }
  }

  TestScheduler scheduler_;
  std::shared_ptr<FakeLeaseWatcher> watcher_;
  std::map<std::string, Node> nodes_;
  // Of `gw`: "app/fn@node"; of others with the gateway's name behind.
  std::map<std::string, std::string> lease_ids_;
};

std::vector<std::string> ScenarioNames() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(THAW_SCENARIOS)) {
    if (entry.path().extension() == ".txt") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class ScenarioTest : public ::testing::TestWithParam<std::string> {};



INSTANTIATE_TEST_SUITE_P(Scenarios, ScenarioTest, ::testing::ValuesIn(ScenarioNames()),
                         [](const auto& info) { return info.param; });

// None found would be a test that can't fail.
TEST(ScenariosTest, AreFound) { EXPECT_GE(ScenarioNames().size(), 9u); }

TEST_P(ScenarioTest, Holds) {
  std::ifstream file(absl::StrCat(THAW_SCENARIOS, "/", GetParam(), ".txt"));
  ASSERT_TRUE(file);
  Scenario scenario;
  std::string text;
  int commands = 0;
  for (int number = 1; std::getline(file, text); ++number) {
    SCOPED_TRACE(absl::StrCat(GetParam(), ".txt:", number, ": ", text));
    const absl::string_view command =
        absl::StripAsciiWhitespace(absl::string_view(text).substr(0, text.find('#')));
    if (command.empty()) continue;
    scenario.Run(Line::Parse(command));
    ++commands;
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(commands, 0);
}

}  // namespace
}  // namespace thaw::scheduler
