#include "agent/init/volatile_pages.h"

#include <gtest/gtest.h>

#include <cstring>

namespace thaw::init {
namespace {

constexpr char kSmaps[] =
    "7f0000000000-7f0000002000 rw-p 00000000 00:00 0 \n"
    "Size:                  8 kB\n"
    "VmFlags: rd wr mr mw me ac sd \n"
    "7f0000010000-7f0000012000 rw-p 00000000 00:00 0                          [a-b c-d]\n"
    "Size:                  8 kB\n"
    "THPeligible:           0\n"
    "VmFlags: rd wr mr mw me dd wf dp\n"
    "7f0000020000-7f0000021000 r-xp 00000000 00:00 0                          [vdso]\n"
    "VmFlags: rd ex mr mw me de sd \n";

std::string Varint(uint64_t value) {
  std::string text;
  while (value >= 0x80) {
    text += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  return text + static_cast<char>(value);
}

std::string Field(int number, uint64_t value) { return Varint(static_cast<uint64_t>(number) << 3) + Varint(value); }

std::string Entry(const std::string& message) {
  const auto size = static_cast<uint32_t>(message.size());
  return std::string(reinterpret_cast<const char*>(&size), sizeof size) + message;
}

std::string Pagemap(const std::string& entries) { return "MAGICSsS" + Entry(Field(1, 3)) + entries; }

TEST(DroppableRangesTest, OnlyMappingsFlaggedDpAreTaken) {
  const auto ranges = DroppableRanges(kSmaps);
  ASSERT_EQ(ranges.size(), 1u);
  EXPECT_EQ(ranges[0].start, 0x7f0000010000u);
  EXPECT_EQ(ranges[0].end, 0x7f0000012000u);
}

TEST(DroppableRangesTest, NothingIsFoundInNothing) { EXPECT_TRUE(DroppableRanges("").empty()); }

TEST(LocatePagesTest, PagesBehindEarlierEntriesAreCounted) {
  // Present 4 pages, a hole entry that stores nothing (flags 1: in the parent), then present 2 pages.
  const std::string image = Pagemap(Entry(Field(1, 0x10000) + Field(2, 4) + Field(4, 4)) +
                                    Entry(Field(1, 0x20000) + Field(2, 9) + Field(4, 1)) +
                                    Entry(Field(1, 0x30000) + Field(5, 2) + Field(4, 4)));
  uint64_t pages_id = 0;
  bool ok = false;
  const auto extents = LocatePages(image, {{0x31000, 0x40000}, {0x11000, 0x13000}, {0x20000, 0x21000}}, &pages_id, &ok);
  EXPECT_TRUE(ok);
  EXPECT_EQ(pages_id, 3u);
  ASSERT_EQ(extents.size(), 2u);
  EXPECT_EQ(extents[0].offset, 0x1000u);
  EXPECT_EQ(extents[0].size, 0x2000u);
  EXPECT_EQ(extents[1].offset, 0x5000u);
  EXPECT_EQ(extents[1].size, 0x1000u);
}

TEST(LocatePagesTest, ACutPagemapIsNotOk) {
  const std::string image = Pagemap(Entry(Field(1, 0x10000) + Field(2, 4) + Field(4, 4)));
  for (size_t size = 0; size < image.size(); ++size) {
    uint64_t pages_id = 0;
    bool ok = true;
    LocatePages(image.substr(0, size), {{0, ~0ULL}}, &pages_id, &ok);
    // Cut exactly behind its head, it is a pagemap of a process without pages.
    EXPECT_EQ(ok, size == Pagemap("").size()) << size;
  }
}

}  // namespace
}  // namespace thaw::init
