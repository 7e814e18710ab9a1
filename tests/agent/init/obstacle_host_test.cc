// What stands in a dump's way, against a real Docker Engine and a real CRIU: each kind is found and named before the dump,
// and close, reopen and ignore work through a dump and a restore in another container.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/agent/init/host_suite.h"
#include "tests/agent/init/slot_container.h"

namespace thaw::init {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using testing::HasSubstr;

class ObstacleHostTest : public testing::Test {
 protected:
  void SetUp() override {
    // A place that is a container's own: another container has another directory there.
    for (const char* name : {"first", "second"}) {
      ::mkdir((Outside(name)).c_str(), 0777);
      ::chmod(Outside(name).c_str(), 0777);
    }
    FailOrSkipWithout(MissingFor(JavaRuntimeImage()));
  }

  std::string Outside(const std::string& name) const { return outside_.host_dir() + "/" + name; }

  std::unique_ptr<SlotContainer> MakeSlot(const std::string& outside, const std::string& more = "") {
    ::chmod(outside_.host_dir().c_str(), 0755);
    auto slot = std::make_unique<SlotContainer>(SlotContainer::Options{
        .image = JavaRuntimeImage(), .crac_dir = volume_.host_dir(), .more_arguments = "-v " + Outside(outside) + ":/outside " + more});
    EXPECT_EQ(slot->error(), "");
    return slot;
  }

  void WriteOutside(const std::string& where, const std::string& name, const std::string& text) {
    const std::string path = Outside(where) + "/" + name;
    std::ofstream(path) << text;
    ::chmod(path.c_str(), 0666);
  }

  std::string ReadOutside(const std::string& where, const std::string& name) {
    std::stringstream text;
    text << std::ifstream(Outside(where) + "/" + name).rdbuf();
    return text.str();
  }

  static Json Look(SlotContainer& slot) {
    const Json answer = slot.Order({{"op", "look"}});
    EXPECT_TRUE(answer.value("ok", false)) << answer;
    return answer.value("findings", Json::array());
  }

  Json Dump(SlotContainer& slot, const Json& actions, bool check = true, bool leave_running = true) {
    const std::string dir = volume_.Make("s");
    return slot.Order({{"op", "dump"},
                       {"dir", dir},
                       {"leave_running", leave_running},
                       {"timeout_ms", 20000},
                       {"check", check},
                       {"actions", actions}});
  }

  // The same action for all that was found.
  static Json Decide(Json findings, const std::string& action) {
    for (Json& finding : findings) finding["action"] = action;
    return findings;
  }

  static Json Restore(SlotContainer& slot, const Json& dumped) {
    return slot.Order({{"op", "restore"},
                       {"dir", "/cracdata/s"},
                       {"stdout_pipe", dumped.value("stdout_pipe", "")},
                       {"stderr_pipe", dumped.value("stderr_pipe", "")},
                       {"resume", dumped.value("resume", "")},
                       {"uid", 1000},
                       {"gid", 1000},
                       {"instance", "i-2"},
                       {"meta", "m"},
                       {"timeout_ms", 20000}});
  }

  // Says `order` to a new function; what it leaves open must be found, alone, and must keep the dump from beginning.
  Json Finds(SlotContainer& slot, const std::string& order, const std::string& kind, const std::string& what) {
    const std::string fd = slot.Ask(order);
    return FindsOpen(slot, fd, kind, what);
  }

  Json FindsOpen(SlotContainer& slot, const std::string& fd, const std::string& kind, const std::string& what) {
    const Json answer = slot.Order({{"op", "look"}});
    const Json findings = answer.value("findings", Json::array());
    EXPECT_EQ(findings.size(), 1u) << findings;
    if (findings.size() != 1) return findings;
    EXPECT_EQ(findings[0]["kind"], kind);
    EXPECT_THAT(findings[0]["what"].get<std::string>(), HasSubstr(what));
    EXPECT_EQ(std::to_string(findings[0]["fd"].get<int>()), fd);
    EXPECT_NE(findings[0]["remedy"], "");
    EXPECT_LT(answer.value("look_ms", 1e9), 50) << "a look must be cheap";
    std::printf("look: %s %.2f ms\n", kind.c_str(), answer.value("look_ms", 0.0));
    const Json refused = Dump(slot, Json::array());
    EXPECT_EQ(refused["code"], "FAILED_PRECONDITION") << refused;
    EXPECT_THAT(refused["error"].get<std::string>(), HasSubstr("found before the dump"));
    EXPECT_EQ(refused["findings"], findings);
    EXPECT_FALSE(refused.contains("log")) << "criu must not have run";
    EXPECT_THAT(slot.Ask("hello"), HasSubstr(" mapped-text"));
    return findings;
  }

  CracVolume volume_;
  CracVolume outside_;
};

TEST_F(ObstacleHostTest, AFunctionWithNothingInTheWayHasNoFindings) {
  auto slot = MakeSlot("first");
  slot->Start("i-1");
  slot->Ask("hello");
  EXPECT_EQ(Look(*slot), Json::array());
  EXPECT_EQ(slot->Ask("hold-read /tmp/mapped").empty(), false);
  slot->Ask("hold-read /etc/passwd");
  slot->Ask("hold-read /proc/self/status");
  slot->Ask("hold-read /dev/urandom");
  slot->Ask("hold-read /test/function");
  slot->Ask("deleted /tmp/gone");
  slot->Ask("pipe");
  slot->Ask("watch /tmp");
  slot->Ask("fd-watch " + slot->Ask("pipe"));
  EXPECT_EQ(Look(*slot), Json::array());
  const Json dumped = Dump(*slot, Json::array());
  ASSERT_TRUE(dumped.value("ok", false)) << dumped;
  EXPECT_LT(dumped.value("look_ms", 1e9), 50);
  auto second = MakeSlot("second");
  const Json restored = Restore(*second, dumped);
  EXPECT_TRUE(restored.value("ok", false)) << restored;
}

TEST_F(ObstacleHostTest, AFileOfAnotherMountIsFound) {
  WriteOutside("first", "data", "0123456789");
  auto slot = MakeSlot("first");
  slot->Start("i-1");
  Finds(*slot, "hold /outside/data", "file", "/outside/data");
}

TEST_F(ObstacleHostTest, AFileThatTheEngineWritesForEachContainerIsFound) {
  auto slot = MakeSlot("first");
  slot->Start("i-1");
  Finds(*slot, "hold-read /etc/hosts", "file", "/etc/hosts");
}

TEST_F(ObstacleHostTest, AMappedFileOfAnotherMountIsFound) {
  WriteOutside("first", "data", "0123456789");
  auto slot = MakeSlot("first");
  slot->Start("i-1");
  Finds(*slot, "map /outside/data", "file", "/outside/data (mapped)");
}

TEST_F(ObstacleHostTest, ADeletedFileOfAnotherMountIsFound) {
  auto slot = MakeSlot("first");
  slot->Start("i-1");
  Finds(*slot, "deleted /outside/gone", "deleted_file", "/outside/gone");
}

TEST_F(ObstacleHostTest, TcpConnectionsAreFoundWithTheirPeers) {
  auto slot = MakeSlot("first");
  slot->Start("i-1");
  EXPECT_EQ(slot->Ask("tcp"), "ok");
  const Json findings = Look(*slot);
  int connected = 0;
  for (const Json& finding : findings) {
    EXPECT_EQ(finding["kind"], "tcp") << finding;
    if (finding["what"].get<std::string>().find(" -> 127.0.0.1:") != std::string::npos) ++connected;
  }
  EXPECT_EQ(connected, 2) << findings;
  EXPECT_EQ(slot->Ask("notcp"), "ok");
  EXPECT_EQ(Look(*slot), Json::array());
}

TEST_F(ObstacleHostTest, AUnixSocketToOutsideIsFound) {
  auto slot = MakeSlot("first");
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, (Outside("first") + "/server").c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener, 1), 0);
  ::chmod(address.sun_path, 0777);
  slot->Start("i-1");
  const std::string fd = slot->Ask("connect /outside/server");
  const int accepted = ::accept(listener, nullptr, nullptr);
  FindsOpen(*slot, fd, "unix", "/first/server");
  ::close(accepted);
  ::close(listener);
}

TEST_F(ObstacleHostTest, AnEpollOnALostDescriptorIsFound) {
  auto slot = MakeSlot("first");
  slot->Start("i-1");
  Finds(*slot, "epoll-lost", "epoll", "watches descriptor");
}

TEST_F(ObstacleHostTest, ADeviceIsFound) {
  auto slot = MakeSlot("first", "--device /dev/fuse");
  slot->Exec("chmod 666 /dev/fuse");
  slot->Start("i-1");
  Finds(*slot, "hold-read /dev/fuse", "device", "/dev/fuse");
}

TEST_F(ObstacleHostTest, SystemVSharedMemoryIsFound) {
  auto slot = MakeSlot("first");
  slot->Start("i-1");
  Finds(*slot, "sysv", "shared_memory", "System V segment");
}

TEST_F(ObstacleHostTest, AnInotifyWatchThatCriuCanNotKeepIsFound) {
  auto slot = MakeSlot("first");
  slot->Start("i-1");
  ASSERT_EQ(slot->Ask("watch /outside"), "ok");
  const Json findings = Look(*slot);
  ASSERT_EQ(findings.size(), 1u) << findings;
  EXPECT_EQ(findings[0]["kind"], "inotify");
  EXPECT_EQ(findings[0]["what"], "/outside");
}

TEST_F(ObstacleHostTest, APipeToAProcessOutsideIsFound) {
  auto slot = MakeSlot("first");
  const int pid = slot->Start("i-1")["pid"];
  const std::string fd = slot->Ask("pipe");
  const ShellResult held = Shell("docker exec -d " + slot->name() + " sh -c \"exec 9</proc/" + std::to_string(pid) +
                                 "/fd/" + fd + "; exec sleep 100\"");
  ASSERT_EQ(held.status, 0) << held.output;
  Json findings;
  for (int i = 0; i < 100 && findings.empty(); ++i) {
    findings = Look(*slot);
    ::usleep(20'000);
  }
  // Both of the function's ends.
  ASSERT_EQ(findings.size(), 2u) << findings;
  EXPECT_EQ(findings[0]["kind"], "pipe");
}

TEST_F(ObstacleHostTest, AUdpSocketIsFoundWhereThisCriuCanNotDumpIt) {
  auto slot = MakeSlot("first");
  slot->Start("i-1");
  slot->Ask("udp");
  const Json findings = Look(*slot);
  // Without the check CRIU decides; the look must have foretold it.
  const Json dumped = Dump(*slot, Json::array(), /*check=*/false);
  EXPECT_EQ(dumped.value("ok", false), findings.empty()) << findings << dumped;
  if (dumped.value("ok", false)) return;
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0]["kind"], "udp");
  // CRIU's own error in the same form.
  ASSERT_TRUE(dumped.contains("findings")) << dumped;
  EXPECT_EQ(dumped["findings"][0]["kind"], "tcp");
  EXPECT_NE(dumped["findings"][0]["remedy"], "");
  EXPECT_THAT(slot->Exec("cat /run/thaw/ctl/criu-failed.log").output, HasSubstr("Error"));
}

TEST_F(ObstacleHostTest, AClosedTcpConnectionReadsAsEndedHereAndAfterTheRestore) {
  auto slot = MakeSlot("first");
  slot->Start("i-1");
  EXPECT_EQ(slot->Ask("tcp"), "ok");
  const Json findings = Look(*slot);
  std::string connected;
  for (const Json& finding : findings) {
    if (finding["what"].get<std::string>().find(" -> ") != std::string::npos) connected = std::to_string(finding["fd"].get<int>());
  }
  const std::string epoll = slot->Ask("fd-watch " + connected);
  const std::string next = slot->Ask("fd-next");
  const Json dumped = Dump(*slot, Decide(findings, "close"));
  ASSERT_TRUE(dumped.value("ok", false)) << dumped;
  const auto check = [&](SlotContainer& in) {
    // Whoever waits is woken, reads an end, and can't write; the number is not given to another file.
    EXPECT_EQ(in.Ask("fd-wait " + epoll), std::to_string(0x1234567890ull));
    EXPECT_EQ(in.Ask("fd-read " + connected), "\"\"");
    EXPECT_EQ(in.Ask("fd-write " + connected), "Broken pipe");
    EXPECT_EQ(in.Ask("fd-next"), next);
    EXPECT_THAT(in.Ask("hello"), HasSubstr(" mapped-text"));
    EXPECT_EQ(in.Ask("fd-close " + connected), "0");
  };
  auto second = MakeSlot("second");
  const Json restored = Restore(*second, dumped);
  ASSERT_TRUE(restored.value("ok", false)) << restored;
  check(*second);
  check(*slot);
}

TEST_F(ObstacleHostTest, AReopenedFileGoesOnAtItsOffsetHereAndAfterTheRestore) {
  for (const char* where : {"first", "second"}) {
    WriteOutside(where, "data", "0123456789");
    WriteOutside(where, "append", "old\n");
  }
  auto slot = MakeSlot("first");
  slot->Start("i-1");
  const std::string data = slot->Ask("hold /outside/data");
  const std::string append = slot->Ask("hold /outside/append");
  EXPECT_EQ(slot->Ask("fd-read8 " + data), "\"01234567\"");
  EXPECT_EQ(slot->Ask("fd-write " + append), "8");
  const Json dumped = Dump(*slot, Decide(Look(*slot), "reopen"));
  ASSERT_TRUE(dumped.value("ok", false)) << dumped;
  EXPECT_EQ(slot->Ask("fd-read8 " + data), "\"89\"");
  EXPECT_EQ(slot->Ask("fd-write " + append), "8");
  EXPECT_EQ(ReadOutside("first", "append"), "old\nwritten\nwritten\n");

  auto second = MakeSlot("second");
  const Json restored = Restore(*second, dumped);
  ASSERT_TRUE(restored.value("ok", false)) << restored;
  EXPECT_EQ(second->Ask("fd-read8 " + data), "\"89\"");
  EXPECT_EQ(second->Ask("fd-write " + append), "8");
  EXPECT_EQ(ReadOutside("second", "append"), "old\nwritten\n");
  EXPECT_EQ(second->Order({{"op", "status"}})["state"], "running");
}

TEST_F(ObstacleHostTest, AFileThatIsNotThereAtTheRestoreFailsItAndIsNamed) {
  WriteOutside("first", "data", "0123456789");
  auto slot = MakeSlot("first");
  slot->Start("i-1");
  slot->Ask("hold-read /outside/data");
  const Json dumped = Dump(*slot, Decide(Look(*slot), "reopen"));
  ASSERT_TRUE(dumped.value("ok", false)) << dumped;
  auto second = MakeSlot("second");
  const Json restored = Restore(*second, dumped);
  EXPECT_EQ(restored["code"], "NOT_FOUND") << restored;
  EXPECT_THAT(restored["error"].get<std::string>(), HasSubstr("/outside/data"));
  EXPECT_EQ(second->Order({{"op", "status"}})["state"], "empty");
}

TEST_F(ObstacleHostTest, EveryKindOfDescriptorCanBeClosed) {
  WriteOutside("first", "data", "0123456789");
  auto slot = MakeSlot("first", "--device /dev/fuse");
  slot->Exec("chmod 666 /dev/fuse");
  slot->Start("i-1");
  const std::string file = slot->Ask("hold /outside/data");
  slot->Ask("deleted /outside/gone");
  slot->Ask("udp");
  slot->Ask("epoll-lost");
  slot->Ask("hold-read /dev/fuse");
  slot->Ask("watch /outside");
  const Json findings = Look(*slot);
  ASSERT_GE(findings.size(), 5u) << findings;
  const Json dumped = Dump(*slot, Decide(findings, "close"));
  ASSERT_TRUE(dumped.value("ok", false)) << dumped;
  auto second = MakeSlot("second");
  const Json restored = Restore(*second, dumped);
  ASSERT_TRUE(restored.value("ok", false)) << restored;
  EXPECT_EQ(second->Ask("fd-read " + file), "Bad file descriptor");
  EXPECT_EQ(slot->Ask("fd-read " + file), "Bad file descriptor");
  EXPECT_THAT(second->Ask("hello"), HasSubstr(" mapped-text"));
}

TEST_F(ObstacleHostTest, WhatIsIgnoredIsLeftToCriu) {
  WriteOutside("first", "data", "0123456789");
  WriteOutside("second", "data", "0123456789");
  auto slot = MakeSlot("first");
  slot->Start("i-1");
  const std::string fd = slot->Ask("hold /outside/data");
  slot->Ask("fd-read8 " + fd);
  const Json dumped = Dump(*slot, Decide(Look(*slot), "ignore"));
  ASSERT_TRUE(dumped.value("ok", false)) << dumped;
  auto second = MakeSlot("second");
  const Json restored = Restore(*second, dumped);
  ASSERT_TRUE(restored.value("ok", false)) << restored;
  EXPECT_EQ(second->Ask("fd-read " + fd), "\"89\"");
}

TEST_F(ObstacleHostTest, WhatCanNotBeDoneLeavesTheFunctionAsItWas) {
  auto slot = MakeSlot("first");
  slot->Start("i-1");
  const std::string fd = slot->Ask("udp");
  slot->Ask("sysv");
  const Json findings = Look(*slot);
  const Json refused = Dump(*slot, Decide(findings, "reopen"));
  EXPECT_EQ(refused["code"], "INVALID_ARGUMENT") << refused;
  EXPECT_THAT(slot->Ask("hello"), HasSubstr(" mapped-text"));
  EXPECT_EQ(slot->Order({{"op", "status"}})["state"], "running");
}

TEST_F(ObstacleHostTest, ManyDumpsWithActionsDoNoHarm) {
  for (const char* where : {"first", "second"}) WriteOutside(where, "data", std::string(1000, 'x'));
  auto slot = MakeSlot("first");
  slot->Start("i-1");
  const std::string fd = slot->Ask("hold /outside/data");
  for (int round = 0; round < 10; ++round) {
    slot->Ask("fd-read8 " + fd);
    const Json dumped = Dump(*slot, Decide(Look(*slot), "reopen"));
    ASSERT_TRUE(dumped.value("ok", false)) << "round " << round << ": " << dumped;
    fs::remove_all(volume_.host_dir() + "/s");
  }
  EXPECT_THAT(slot->Ask("hello"), HasSubstr(" mapped-text"));
  EXPECT_EQ(slot->Ask("fd-read8 " + fd), "\"xxxxxxxx\"");
}

// The join of numbers and stacks is CheckpointerTest's.
TEST_F(ObstacleHostTest, AJvmWithTheAgentTellsWhoOpenedItsDescriptorsAndHasNothingInTheWay) {
  const Json inspected = Json::parse(Shell("docker inspect " + JavaRuntimeImage()).output);
  auto argv = inspected[0]["Config"]["Entrypoint"].get<std::vector<std::string>>();
  argv.erase(argv.begin(), argv.begin() + 2);
  ASSERT_EQ(argv[0], "java");
  argv.insert(argv.begin() + 1, "-javaagent:/function/runtime/thaw-descriptors-0.1.0.jar");
  argv.push_back("java.lang.String::concat");
  auto slot = MakeSlot("first");
  ASSERT_TRUE(slot->Start("j-1", argv).value("ok", false));
  const std::string known = slot->Ask("GET /thaw/descriptors HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r");
  EXPECT_THAT(known, HasSubstr("HTTP/1.1 200"));
  EXPECT_THAT(known, HasSubstr("\"opened_by\":[\"io.thaw.fdk.runtime."));
  EXPECT_EQ(Look(*slot), Json::array()) << "a JVM that serves has nothing in the way";
  // With the changed classes it is frozen and thawed as without.
  ASSERT_THAT(slot->Ask("POST /thaw/checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r"), HasSubstr("200"));
  ASSERT_FALSE(slot->WaitEvent("checkpoint_ready").is_null());
  EXPECT_EQ(Look(*slot), Json::array());
  const Json dumped = Dump(*slot, Json::array());
  ASSERT_TRUE(dumped.value("ok", false)) << dumped;
  std::printf("JVM: look %.2f ms\n", dumped.value("look_ms", 0.0));
  EXPECT_LT(dumped.value("look_ms", 1e9), 50);
  auto second = MakeSlot("second");
  const Json restored = Restore(*second, dumped);
  ASSERT_TRUE(restored.value("ok", false)) << restored;
  EXPECT_THAT(second->Ask("GET /thaw/descriptors HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r"), HasSubstr("HTTP/1.1 200"));
}

}  // namespace
}  // namespace thaw::init
