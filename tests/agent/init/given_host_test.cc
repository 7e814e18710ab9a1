// Config and secrets in a container: who may read them, when they are there, and that a snapshot has none of what it
// must not have.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "tests/agent/init/host_suite.h"

namespace thaw::init {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using testing::HasSubstr;

// "late-value-of-the-secret-0123456789" and "early-value-of-the-secret-0123456789"
constexpr char kLate[] = "late-value-of-the-secret-0123456789";
constexpr char kLate64[] = "bGF0ZS12YWx1ZS1vZi10aGUtc2VjcmV0LTAxMjM0NTY3ODk=";
constexpr char kEarly[] = "early-value-of-the-secret-0123456789";
constexpr char kEarly64[] = "ZWFybHktdmFsdWUtb2YtdGhlLXNlY3JldC0wMTIzNDU2Nzg5";

// Files below `dir` that have `text` somewhere.
std::vector<std::string> FilesWith(const std::string& dir, const std::string& text) {
  std::vector<std::string> found;
  for (const auto& entry : fs::recursive_directory_iterator(dir)) {
    if (!entry.is_regular_file()) continue;
    std::stringstream content;
    content << std::ifstream(entry.path(), std::ios::binary).rdbuf();
    if (content.str().find(text) != std::string::npos) found.push_back(entry.path());
  }
  return found;
}

class GivenHostTest : public SlotSuite {
 protected:
  static Json Start(SlotContainer& slot, const Json& given) {
    Json order = {{"op", "start"}, {"argv", {"/test/function"}}, {"instance", "i-1"}};
    order.update(given);
    return slot.Order(order);
  }
};

TEST_F(GivenHostTest, TheFunctionReadsItsFilesAndCanNotChangeThem) {
  auto slot = MakeSlot();
  const Json started = Start(*slot, {{"config", {{"URL", "a"}}}, {"secrets", {{"key", kEarly64}}}});
  ASSERT_TRUE(started.value("ok", false)) << started;
  EXPECT_EQ(slot->Ask("read /run/thaw/fn/config.json"), "{\"URL\":\"a\"}\n");
  EXPECT_EQ(slot->Ask("read /run/thaw/secrets/key"), kEarly);
  EXPECT_EQ(slot->Ask("touch /run/thaw/secrets/key"), "Permission denied");
  EXPECT_EQ(slot->Ask("touch /run/thaw/secrets/other"), "Permission denied");
  EXPECT_EQ(slot->Ask("touch /run/thaw/fn/config.json"), "Permission denied");
  EXPECT_EQ(slot->Exec("stat -c %a:%u:%F /run/thaw/secrets /run/thaw/secrets/key; stat -f -c %T /run/thaw/secrets").output,
            "755:0:directory\n400:1000:regular file\ntmpfs\n");
  const std::string pid = std::to_string(started["pid"].get<int>());
  for (const char* file : {"/environ", "/cmdline"}) {
    EXPECT_EQ(slot->Exec("cat /proc/1" + std::string(file) + " /proc/" + pid + file).output.find(kEarly), std::string::npos);
  }
  EXPECT_EQ(slot->Log().find(kEarly), std::string::npos);
}

TEST_F(GivenHostTest, ARunningFunctionIsGivenNewOnes) {
  auto slot = MakeSlot();
  ASSERT_TRUE(Start(*slot, {{"config", {{"URL", "a"}}}, {"secrets", {{"key", kEarly64}}}}).value("ok", false));
  const Json given = slot->Order({{"op", "give"}, {"config", {{"URL", "b"}}}, {"secrets", {{"other", kLate64}}}});
  ASSERT_TRUE(given.value("ok", false)) << given;
  EXPECT_EQ(slot->Ask("read /run/thaw/fn/config.json"), "{\"URL\":\"b\"}\n");
  EXPECT_EQ(slot->Ask("read /run/thaw/secrets/other"), kLate);
  EXPECT_EQ(slot->Ask("read /run/thaw/secrets/key"), "No such file or directory");
}

TEST_F(GivenHostTest, AnEmptiedSlotHasNone) {
  auto slot = MakeSlot();
  ASSERT_TRUE(Start(*slot, {{"config", {{"URL", "a"}}}, {"secrets", {{"key", kEarly64}}}}).value("ok", false));
  ASSERT_TRUE(slot->Order({{"op", "reset"}}).value("ok", false));
  EXPECT_EQ(slot->Exec("ls /run/thaw/secrets /run/thaw/fn").output, "/run/thaw/fn:\nrequest.sock\n\n/run/thaw/secrets:\n");
  EXPECT_EQ(slot->Order({{"op", "give"}}).value("code", ""), "FAILED_PRECONDITION");
}

TEST_F(GivenHostTest, ASecretForAfterTheRestoreIsInNoByteOfTheSnapshotAndOneThatIsHeldIsFound) {
  auto first = MakeSlot();
  ASSERT_TRUE(Start(*first, {{"secrets", {{"early", kEarly64}}}}).value("ok", false));
  EXPECT_EQ(first->Ask("keep /run/thaw/secrets/early"), "ok");
  EXPECT_EQ(first->Ask("read /run/thaw/secrets/late"), "No such file or directory");
  const std::string dir = volume_.Make("snap");
  const Json dumped = Dump(*first, dir, true);
  ASSERT_TRUE(dumped.value("ok", false)) << dumped;
  EXPECT_THAT(FilesWith(volume_.host_dir() + "/snap", kLate), testing::IsEmpty());
  // The search can find: the function held this one.
  EXPECT_THAT(FilesWith(volume_.host_dir() + "/snap", kEarly), testing::Not(testing::IsEmpty()));

  // Both the one that goes on and the restored ones are given it.
  ASSERT_TRUE(first->Order({{"op", "give"}, {"secrets", {{"early", kEarly64}, {"late", kLate64}}}, {"sealed", true}})
                  .value("ok", false));
  EXPECT_EQ(first->Ask("keep /run/thaw/secrets/late"), "ok");
  auto second = MakeSlot();
  Json order = RestoreOrder(dir, dumped, "i-2");
  order.update({{"secrets", {{"late", kLate64}}}, {"sealed", true}, {"config", {{"URL", "now"}}}});
  const Json restored = second->Order(order);
  ASSERT_TRUE(restored.value("ok", false)) << restored;
  EXPECT_EQ(second->Ask("kept"), kEarly);
  EXPECT_EQ(second->Ask("read /run/thaw/secrets/late"), kLate);
  EXPECT_EQ(second->Ask("read /run/thaw/fn/config.json"), "{\"URL\":\"now\"}\n");

  // Whoever has it is never frozen again.
  volume_.Make("again");
  for (SlotContainer* slot : {first.get(), second.get()}) {
    EXPECT_TRUE(slot->Order({{"op", "status"}}).value("sealed", false));
    const Json refused = Dump(*slot, "/cracdata/again", true);
    EXPECT_EQ(refused.value("code", ""), "FAILED_PRECONDITION") << refused;
    EXPECT_THAT(refused.value("error", ""), HasSubstr("after_restore_only"));
  }
  EXPECT_TRUE(fs::is_empty(volume_.host_dir() + "/again"));
}

}  // namespace
}  // namespace thaw::init
