#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "cli/closest_word.h"
#include "cli/output/format.h"
#include "cli/output/progress.h"
#include "cli/output/table.h"
#include "cli/output/terminal.h"
#include "cli/output/text_width.h"
#include "tests/fakes/fake_clock.h"

namespace thaw::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(TextWidth, CountsColumnsAndNotBytes) {
  EXPECT_EQ(DisplayWidth("abc"), 3);
  EXPECT_EQ(DisplayWidth("größe"), 5);
  EXPECT_EQ(DisplayWidth("雪解け"), 6);
  EXPECT_EQ(DisplayWidth("🧊"), 2);
  EXPECT_EQ(DisplayWidth("e\u0301"), 1);  // e and a combining accent
  EXPECT_EQ(DisplayWidth("\x1b[31mred\x1b[0m"), 3);
}

TEST(TextWidth, BytesThatAreNoUtf8CountAsOneEach) {
  EXPECT_EQ(DisplayWidth("a\xff\xfe"), 3);
  EXPECT_EQ(DisplayWidth("\xe2\x82"), 2);      // a euro sign cut short
  EXPECT_EQ(DisplayWidth("\xc0\xaf"), 2);      // an overlong slash
  EXPECT_EQ(DisplayWidth("\xed\xa0\x80"), 3);  // a surrogate
}

TEST(TextWidth, EllipsizeNeverSplitsACharacter) {
  EXPECT_EQ(Ellipsize("abcdef", 4), "abc…");
  EXPECT_EQ(Ellipsize("雪解け水", 4), "雪…");  // the second would need columns 3 and 4
  EXPECT_EQ(Ellipsize("abc", 3), "abc");
  EXPECT_EQ(Ellipsize("abc", 0), "");
}

TEST(TextWidth, PrintableDisarmsControlCharacters) {
  EXPECT_EQ(Printable("a\x1b[2Jb\n\t\x7f"), "a\\x1b[2Jb\\n\\t\\x7f");
  EXPECT_EQ(Printable("\xc2\x9b"), "\\u009b");  // CSI as one C1 character
  EXPECT_EQ(Printable("größe \xff"), "größe \\xff");
}

TEST(Table, AlignsColumnsByWhatTheyTakeOnScreen) {
  Table table({{"NAME"}, {"SIZE", Table::Align::kRight}, {"NOTE"}});
  table.AddRow({"雪", "7", "x"});
  table.AddRow({"abcd", "1234", ""});
  EXPECT_EQ(table.Render({}),
            "NAME  SIZE  NOTE\n"
            "雪       7  x\n"
            "abcd  1234  -\n");
}

TEST(Table, ShortensTheWidestShrinkableColumnOnATerminalOnly) {
  Table table({{"A", Table::Align::kLeft, true}, {"B"}});
  table.AddRow({"a-long-text-that-does-not-fit", "b"});
  EXPECT_EQ(table.Render({.interactive = true, .colour = false, .width = 15}),
            "A             B\n"
            "a-long-text…  b\n");
  EXPECT_THAT(table.Render({.interactive = false, .colour = false, .width = 15}),
              HasSubstr("a-long-text-that-does-not-fit  b"));
}

TEST(Table, ColoursDoNotDisturbTheAlignment) {
  Table table({{"A"}, {"B"}});
  table.AddRow({{"x", Style::kGreen}, "y"});
  table.AddRow({"long", "z"});
  const std::string text = table.Render({.interactive = true, .colour = true, .width = 80});
  EXPECT_THAT(text, HasSubstr("\x1b[32mx\x1b[0m     y\n"));
  EXPECT_THAT(text, HasSubstr("long  z\n"));
}

TEST(Table, TextFromTheClusterCanNotSteerTheTerminal) {
  Table table({{"A"}});
  table.AddRow({"\x1b[2Jx"});
  EXPECT_THAT(table.Render({}), Not(HasSubstr("\x1b")));
}

TEST(Format, Bytes) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(4'300'000), "4.1 MiB");
  EXPECT_EQ(FormatBytes(20'700'000), "20 MiB");
  EXPECT_EQ(FormatBytes((1u << 20) - 1), "1.0 MiB");
}

TEST(Format, Times) {
  EXPECT_EQ(FormatShortDuration(absl::Milliseconds(440)), "0.4 s");
  EXPECT_EQ(FormatShortDuration(absl::Seconds(185)), "3 min 05 s");
  EXPECT_EQ(FormatMillis(absl::Microseconds(5312440)), "5312.4");
  EXPECT_EQ(FormatAge(absl::Milliseconds(3)), "now");
  EXPECT_EQ(FormatAge(absl::Minutes(119)), "119 min");
  EXPECT_EQ(FormatAge(absl::Hours(49)), "2 d");
  EXPECT_EQ(FormatAgo(absl::Milliseconds(3)), "now");
  EXPECT_EQ(FormatAgo(absl::Minutes(119)), "119 min ago");
  EXPECT_EQ(FormatTimestamp(absl::FromUnixMillis(1'700'000'000'123)), "2023-11-14T22:13:20.123Z");
  EXPECT_EQ(FormatTimestamp(absl::UnixEpoch()), "");
}

TEST(Progress, PlainLinesAtBeginAndEndAndOnlyNowAndThenBetween) {
  thaw::testing::FakeClock clock;
  std::ostringstream out;
  const auto progress = MakeProgress(out, {}, clock);
  progress->Start("sending");
  for (int i = 0; i < 100; ++i) progress->Amount(static_cast<std::uint64_t>(i), 100);
  clock.Advance(absl::Seconds(11));
  progress->Amount(50, 100);
  progress->Done("all of it");
  EXPECT_EQ(out.str(),
            "sending...\n"
            "sending: 50 B of 100 B\n"
            "sending: done, all of it (11 s)\n");
}

TEST(Progress, PlainFailureSaysSo) {
  thaw::testing::FakeClock clock;
  std::ostringstream out;
  const auto progress = MakeProgress(out, {}, clock);
  progress->Start("building");
  progress->Failed("");
  progress->Failed("");  // nothing is open any more
  EXPECT_EQ(out.str(), "building...\nbuilding: FAILED (0.0 s)\n");
}

TEST(Progress, OnATerminalTheLineIsRedrawnAndEndsWithItsMark) {
  thaw::testing::FakeClock clock;
  std::ostringstream out;
  {
    const auto progress = MakeProgress(out, {.interactive = true, .colour = false, .width = 40}, clock);
    progress->Start("sending");
    progress->Done("ok");
  }
  EXPECT_THAT(out.str(), HasSubstr("\r\x1b[2K"));
  EXPECT_THAT(out.str(), HasSubstr("✓ sending: ok  0.0 s\n"));
}

TEST(ClosestWord, FindsWhatWasMeantAndNothingFarAway) {
  EXPECT_EQ(ClosestWord("deplyo", {"deploy", "demo"}), "deploy");
  EXPECT_EQ(ClosestWord("memroy", {"name", "memory"}), "memory");
  EXPECT_EQ(ClosestWord("xyzzy", {"deploy", "demo"}), "");
}

}  // namespace
}  // namespace thaw::cli
