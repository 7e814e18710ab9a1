#include "agent/init/function_log.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <vector>

namespace thaw::init {
namespace {

std::vector<std::string> Cut(const std::vector<std::string>& pieces) {
  std::vector<std::string> lines;
  LineCutter cutter;
  const auto sink = [&](std::string_view line) { lines.emplace_back(line); };
  for (const std::string& piece : pieces) cutter.Feed(piece, sink);
  cutter.Finish(sink);
  return lines;
}

TEST(LineCutterTest, LinesThatArriveInPiecesAreJoined) {
  EXPECT_EQ(Cut({"he", "llo\nwor", "ld\n"}), (std::vector<std::string>{"hello", "world"}));
}

TEST(LineCutterTest, TheLastLineNeedsNoNewline) { EXPECT_EQ(Cut({"a\nb"}), (std::vector<std::string>{"a", "b"})); }

TEST(LineCutterTest, EmptyLinesStayAndCarriageReturnsGo) {
  EXPECT_EQ(Cut({"\na\r\n"}), (std::vector<std::string>{"", "a"}));
}

TEST(LineCutterTest, ALineOfExactlyTheLimitIsWhole) {
  const std::string line(kLogLineLimit, 'x');
  EXPECT_EQ(Cut({line + "\n"}), std::vector<std::string>{line});
}

TEST(LineCutterTest, ALongerLineIsCutOnceAndTheNextIsWhole) {
  const std::string many(3 * kLogLineLimit, 'x');
  EXPECT_EQ(Cut({many, many + "\nnext\n"}),
            (std::vector<std::string>{std::string(kLogLineLimit, 'x') + " [cut]", "next"}));
}

class FunctionLogTest : public testing::Test {
 protected:
  FunctionLogTest() {
    char name[] = "/tmp/function_log_test.XXXXXX";
    dir_ = ::mkdtemp(name);
  }
  ~FunctionLogTest() override { std::filesystem::remove_all(dir_); }
  std::string Path() const { return dir_ + "/function.log"; }
  static std::string Read(const std::string& path) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  std::string dir_;
};

TEST_F(FunctionLogTest, ALineHasTimeInstanceAndStream) {
  FunctionLog(Path()).Write("i-1", "out", "hello  world");
  EXPECT_TRUE(std::regex_match(
      Read(Path()), std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z i-1 out hello  world\n)")))
      << Read(Path());
}

TEST_F(FunctionLogTest, TheFileIsForRootOnly) {
  FunctionLog log(Path());
  struct stat info {};
  ASSERT_EQ(::stat(Path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(FunctionLogTest, RotationKeepsTwoFilesWithinTheLimit) {
  FunctionLog log(Path(), 1000);
  for (int i = 0; i < 100; ++i) log.Write("i", "out", "line " + std::to_string(i));
  EXPECT_LE(std::filesystem::file_size(Path()), 1000u);
  EXPECT_LE(std::filesystem::file_size(Path() + ".1"), 1000u);
  EXPECT_GT(std::filesystem::file_size(Path() + ".1"), 900u);
  EXPECT_NE(Read(Path()).find("line 99\n"), std::string::npos);
  size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(dir_)) ++files;
  EXPECT_EQ(files, 2u);
}

TEST_F(FunctionLogTest, ANewInitAppendsToWhatIsThere) {
  FunctionLog(Path()).Write("i", "out", "first");
  FunctionLog(Path()).Write("i", "out", "second");
  EXPECT_NE(Read(Path()).find("first\n"), std::string::npos);
  EXPECT_NE(Read(Path()).find("second\n"), std::string::npos);
}

TEST_F(FunctionLogTest, LostLinesAreCountedAndSaid) {
  const std::string inner = dir_ + "/later";
  FunctionLog log(inner + "/function.log");
  log.Write("i", "out", "lost one");
  log.Write("i", "out", "lost two");
  std::filesystem::create_directory(inner);
  log.Write("i", "out", "kept");
  const std::string text = Read(inner + "/function.log");
  EXPECT_NE(text.find(" i thaw 2 lines were lost"), std::string::npos) << text;
  EXPECT_NE(text.find(" i out kept\n"), std::string::npos) << text;
}

TEST(FormatTimeTest, MillisecondsArePadded) { EXPECT_EQ(FormatTime(1700000000007), "2023-11-14T22:13:20.007Z"); }

}  // namespace
}  // namespace thaw::init
