// Restores of one snapshot draw different random numbers: real programs, real CRIU (docs/uniqueness.md).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "tests/agent/init/host_suite.h"
#include "tests/agent/init/slot_container.h"

namespace thaw::init {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using Json = nlohmann::json;
using testing::Each;
using testing::HasSubstr;
using testing::IsSupersetOf;

constexpr char kImage[] = "thaw-test/unique:latest";
constexpr char kShim[] = "/thaw/preload/libthaw-unique.so";
constexpr int kRestores = 20;
const std::vector<std::string> kAllCures = {"openssl",     "python-random", "node-math-random",
                                            "java-random", "go-random",     "droppable-pages"};

double SecondsSince(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

// What restores drew: for each source, every number and how often it was drawn.
using Drawn = std::map<std::string, std::map<std::string, int>>;

std::vector<std::string> SourcesWithDuplicates(const Drawn& drawn) {
  std::vector<std::string> sources;
  for (const auto& [source, numbers] : drawn) {
    for (const auto& [number, times] : numbers) {
      if (times == 1) continue;
      sources.push_back(source);
      break;
    }
  }
  return sources;
}

struct Program {
  std::vector<std::string> argv;
  // Cures that init has to find in place, as its letters for openssl, python, node, java; "" for none.
  std::string letters;
};

const Program kC = {{"/draw/draw-c"}, "----"};
// Against another libc than the shim's image has ever seen.
const Program kMusl = {{"/draw/draw-musl"}, "----"};
const Program kPython = {{"/usr/bin/python3", "/draw/draw.py"}, "++--"};
const Program kNode = {{"/usr/bin/node", "/draw/draw.js"}, "+-+-"};
const Program kGo = {{"/draw/draw-go"}, ""};
const Program kJava = {{"/usr/bin/java", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
                        "-cp", "/draw/java", "Draw"},
                       "---+"};

class UniqueHostTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    for (const char* image : {"thaw/java-runtime-base:latest", "thaw/maven-base:latest"}) {
      if (missing_.empty()) missing_ = MissingFor(image);
    }
    if (!missing_.empty()) return;
    char name[] = "/tmp/thaw-unique-image.XXXXXX";
    const std::string dir = ::mkdtemp(name);
    fs::copy(THAW_UNIQUE_FUNCTIONS, dir, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    fs::copy_file(THAW_UNIQUE_DRAW_C, dir + "/draw-c", fs::copy_options::overwrite_existing);
    const ShellResult built = Shell("DOCKER_BUILDKIT=0 timeout 290 docker build -t " + std::string(kImage) + " " + dir);
    fs::remove_all(dir);
    if (built.status != 0) missing_ = std::string("the image ") + kImage + ", which can't be built: " + built.output;
  }

  void SetUp() override { FailOrSkipWithout(missing_); }

  std::unique_ptr<SlotContainer> MakeSlot() {
    auto slot = std::make_unique<SlotContainer>(SlotContainer::Options{
        .image = kImage, .crac_dir = volume_.host_dir(), .more_arguments = "-v " THAW_PRELOAD_DIR ":/thaw/preload:ro"});
    EXPECT_EQ(slot->error(), "");
    return slot;
  }

  // Starts the program as the agent does, with the cures' environment, and waits until it answers.
  void StartProgram(SlotContainer& slot, const std::vector<std::string>& argv, bool with_cures = true) {
    Json env = {{"PATH", "/usr/sbin:/usr/bin:/sbin:/bin"}, {"HOME", "/tmp"}};
    if (with_cures) {
      env["LD_PRELOAD"] = kShim;
      env["NODE_OPTIONS"] = "--require /thaw/preload/node.js";
    }
    const Json started = slot.Order({{"op", "start"}, {"argv", argv}, {"env", env}, {"cwd", "/tmp"}, {"instance", "i-0"}});
    ASSERT_TRUE(started.value("ok", false)) << started;
    ASSERT_NE(slot.Ask("1", 60), "") << slot.Log();
  }

  Json Dump(SlotContainer& slot, const std::vector<std::string>& without) {
    dir_ = volume_.Make("s" + std::to_string(++dumps_));
    return slot.Order(
        {{"op", "dump"}, {"dir", dir_}, {"leave_running", false}, {"timeout_ms", 20000}, {"without_cures", without}});
  }

  Json Restore(SlotContainer& slot, const Json& dumped) {
    return slot.Order({{"op", "restore"},
                       {"dir", dir_},
                       {"stdout_pipe", dumped.value("stdout_pipe", "")},
                       {"stderr_pipe", dumped.value("stderr_pipe", "")},
                       {"resume", dumped.value("resume", "")},
                       {"uid", 1000},
                       {"gid", 1000},
                       {"instance", "i-1"},
                       {"timeout_ms", 20000}});
  }

  // Freezes the program once and thaws it `restores` times; each copy draws `count` numbers of each source.
  Drawn DrawFromRestores(const Program& program, int restores, const std::vector<std::string>& without, int count = 2) {
    Drawn drawn;
    auto slot = MakeSlot();
    StartProgram(*slot, program.argv, without.empty());
    if (HasFatalFailure()) return drawn;
    const Json dumped = Dump(*slot, without);
    EXPECT_TRUE(dumped.value("ok", false)) << dumped << "\n" << slot->Log();
    if (!dumped.value("ok", false)) return drawn;
    const Clock::time_point begin = Clock::now();
    double restore_ms = 0;
    for (int i = 0; i < restores; ++i) {
      if (!slot->Order({{"op", "reset"}}).value("ok", false)) ADD_FAILURE() << "reset failed";
      const Json restored = Restore(*slot, dumped);
      EXPECT_TRUE(restored.value("ok", false)) << restored << "\n" << slot->Log();
      if (!restored.value("ok", false)) return drawn;
      restore_ms += restored.value("duration_ms", 0.0);
      std::istringstream answer(slot->Ask(std::to_string(count)));
      std::string source;
      std::string number;
      while (answer >> source >> number) ++drawn[source][number];
    }
    taken_ = SecondsSince(begin);
    std::printf("%s: %d restores in %.1f s, %.1f ms each by init\n", program.argv[0].c_str(), restores, taken_,
                restore_ms / restores);
    return drawn;
  }

  // 20 restores within five seconds of the dump: later they might differ by luck.
  void ExpectUnique(const Program& program, const std::vector<std::string>& sources) {
    const Drawn drawn = DrawFromRestores(program, kRestores, {});
    EXPECT_LT(taken_, 5) << "too slow to prove anything";
    EXPECT_THAT(SourcesWithDuplicates(drawn), testing::IsEmpty());
    for (const std::string& source : sources) {
      const auto found = drawn.find(source);
      ASSERT_NE(found, drawn.end()) << source;
      EXPECT_GE(found->second.size(), size_t{2 * kRestores}) << source;
    }
  }

  // With the cures off these sources do repeat themselves: so the tests above can fail.
  void ExpectSharedWithoutCures(const Program& program, const std::vector<std::string>& sources) {
    EXPECT_THAT(SourcesWithDuplicates(DrawFromRestores(program, 2, kAllCures)), IsSupersetOf(sources));
  }

  Json Randomness(SlotContainer& slot) { return slot.Order({{"op", "randomness"}}); }

  CracVolume volume_;
  std::string dir_;
  int dumps_ = 0;
  double taken_ = 0;
  static inline std::string missing_;
};

TEST_F(UniqueHostTest, CRestoresShareNothing) { ExpectUnique(kC, {"getrandom", "arc4random"}); }

TEST_F(UniqueHostTest, CRestoresWithoutCuresShareThePageOfTheKernel) {
  ExpectSharedWithoutCures(kC, {"getrandom", "arc4random"});
}

TEST_F(UniqueHostTest, MuslRestoresShareNothing) { ExpectUnique(kMusl, {"getrandom"}); }

TEST_F(UniqueHostTest, PythonRestoresShareNothing) {
  ExpectUnique(kPython, {"os.urandom", "random", "random.Random-kept", "random.gauss", "uuid4", "openssl", "tempfile"});
}

TEST_F(UniqueHostTest, PythonRestoresWithoutCuresShareAll) {
  ExpectSharedWithoutCures(kPython, {"os.urandom", "random", "random.Random-kept", "random.gauss", "uuid4", "openssl"});
}

TEST_F(UniqueHostTest, NodeRestoresShareNothing) {
  ExpectUnique(kNode, {"randomBytes", "Math.random", "randomUUID", "randomInt", "webcrypto.randomUUID", "getRandomValues"});
}

TEST_F(UniqueHostTest, NodeRestoresWithoutCuresShareAll) {
  ExpectSharedWithoutCures(
      kNode, {"randomBytes", "Math.random", "randomUUID", "randomInt", "webcrypto.randomUUID", "getRandomValues"});
}

TEST_F(UniqueHostTest, GoRestoresShareNothing) {
  ExpectUnique(kGo, {"crypto/rand", "math/rand", "math/rand/v2", "maphash"});
}

TEST_F(UniqueHostTest, GoRestoresWithoutCuresShareAll) {
  ExpectSharedWithoutCures(kGo, {"math/rand", "math/rand/v2", "maphash"});
}

TEST_F(UniqueHostTest, JavaRestoresShareNothing) { ExpectUnique(kJava, {"SecureRandom", "UUID", "Random-kept"}); }

TEST_F(UniqueHostTest, JavaRestoresWithoutCuresShareAllButTheSecureOnes) {
  ExpectSharedWithoutCures(kJava, {"Random-kept", "ThreadLocalRandom", "ThreadLocalRandom-old-thread",
                                   "ThreadLocalRandom-new-thread", "SplittableRandom", "SplittableRandom-kept", "Math.random",
                                   "SecureRandom-DRBG-kept", "RandomGenerator", "shuffle"});
}

TEST_F(UniqueHostTest, AThousandJavaRestoresShareNothing) {
  constexpr int kMany = 1000;
  constexpr int kIds = 16;
  const Drawn drawn = DrawFromRestores(kJava, kMany, {}, kIds);
  EXPECT_THAT(SourcesWithDuplicates(drawn), testing::IsEmpty());
  for (const char* source :
       {"SecureRandom", "SecureRandom-kept", "SecureRandom-DRBG-kept", "Random", "Random-kept", "ThreadLocalRandom",
        "ThreadLocalRandom-old-thread", "ThreadLocalRandom-new-thread", "SplittableRandom", "SplittableRandom-kept", "UUID",
        "Math.random", "RandomGenerator", "shuffle"}) {
    const auto found = drawn.find(source);
    ASSERT_NE(found, drawn.end()) << source;
    EXPECT_EQ(found->second.size(), size_t{kMany * kIds}) << source;
  }
}

TEST_F(UniqueHostTest, InitSeesWhichCuresAreInPlace) {
  for (const Program& program : {kC, kMusl, kPython, kNode, kGo, kJava}) {
    auto slot = MakeSlot();
    StartProgram(*slot, program.argv);
    const Json seen = Randomness(*slot);
    ASSERT_TRUE(seen.value("ok", false)) << seen;
    ASSERT_EQ(seen["processes"].size(), 1u) << seen;
    const Json& process = seen["processes"][0];
    EXPECT_EQ(process["shim"], program.letters) << process;
    EXPECT_EQ(process["static"], program.argv == kGo.argv) << process;
    EXPECT_EQ(process["go"].get<std::string>().starts_with("go1."), program.argv == kGo.argv) << process;
    // One for each thread of the runtime, and the one that seeds new threads.
    EXPECT_GE(process["go_generators"], program.argv == kGo.argv ? 5 : 0) << process;
    EXPECT_TRUE(process["hidden_openssl"].empty()) << process;
  }
}

// A person's look must not refuse a checkpoint that comes while shims are still answering it.
TEST_F(UniqueHostTest, ADumpThatComesDuringALookWaitsForIt) {
  auto slot = MakeSlot();
  StartProgram(*slot, kPython.argv);
  dir_ = volume_.Make("s");
  std::vector<int> looks;
  for (int i = 0; i < 3; ++i) looks.push_back(slot->Send({{"op", "randomness"}}));
  const int dump = slot->Send({{"op", "dump"}, {"dir", dir_}, {"leave_running", true}, {"timeout_ms", 20000}});
  for (const int look : looks) {
    const Json seen = slot->WaitAnswer(look);
    ASSERT_TRUE(seen.value("ok", false)) << seen;
    EXPECT_EQ(seen["processes"][0]["shim"], kPython.letters) << seen;
  }
  const Json dumped = slot->WaitAnswer(dump);
  EXPECT_TRUE(dumped.value("ok", false)) << dumped;
  EXPECT_NE(slot->Ask("1"), "");
}

TEST_F(UniqueHostTest, ChildrenOfTheFunctionAreCuredToo) {
  // Forked without an exec, and started by an exec: both have to have a shim that answers.
  auto slot = MakeSlot();
  StartProgram(*slot, {"/usr/bin/python3", "-c",
                       "import os, subprocess, time\n"
                       "if os.fork() == 0:\n"
                       "    import random, ssl\n"
                       "    time.sleep(1000)\n"
                       "subprocess.Popen([\"/bin/sleep\", \"1000\"])\n"
                       "exec(open(\"/draw/draw.py\").read())\n"});
  const Json seen = Randomness(*slot);
  ASSERT_EQ(seen.value("processes", Json()).size(), 3u) << seen;
  for (const Json& process : seen["processes"]) {
    EXPECT_EQ(process["shim"], process["program"] == "/usr/bin/sleep" ? "----" : "++--") << process;
  }
  const Json dumped = Dump(*slot, {});
  ASSERT_TRUE(dumped.value("ok", false)) << dumped;
  ASSERT_TRUE(slot->Order({{"op", "reset"}}).value("ok", false));
  const Json restored = Restore(*slot, dumped);
  EXPECT_TRUE(restored.value("ok", false)) << restored;
}

TEST_F(UniqueHostTest, ARestoreWhoseCureFailsIsRefused) {
  auto slot = MakeSlot();
  StartProgram(*slot, kPython.argv);
  const Json dumped = Dump(*slot, {});
  ASSERT_TRUE(dumped.value("ok", false)) << dumped;
  // A snapshot that expects of the process what it has not: a Node that answers.
  const std::string plan = volume_.host_dir() + dir_.substr(std::string("/cracdata").size()) + "/files/unique";
  std::stringstream text;
  text << std::ifstream(plan).rdbuf();
  std::string changed = text.str();
  ASSERT_THAT(changed, HasSubstr("++--"));
  changed.replace(changed.find("++--"), 4, "+++-");
  std::ofstream(plan) << changed;
  ASSERT_TRUE(slot->Order({{"op", "reset"}}).value("ok", false));
  const Json refused = Restore(*slot, dumped);
  EXPECT_FALSE(refused.value("ok", true)) << refused;
  EXPECT_THAT(refused.value("error", ""), HasSubstr("node-math-random"));
  EXPECT_EQ(slot->Order({{"op", "status"}}).value("state", ""), "empty");
}

}  // namespace
}  // namespace thaw::init
