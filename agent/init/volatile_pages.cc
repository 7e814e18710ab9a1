#include "agent/init/volatile_pages.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>

#include "agent/init/process_table.h"
#include "agent/init/protobuf_reader.h"
#include "agent/init/unique_fd.h"

namespace thaw::init {
namespace {

// CRIU's images/pagemap.proto.
constexpr uint32_t kHeadPagesId = 1;
constexpr uint32_t kEntryAddress = 1;
constexpr uint32_t kEntryCompatPages = 2;
constexpr uint32_t kEntryInParent = 3;
constexpr uint32_t kEntryFlags = 4;
constexpr uint32_t kEntryPages = 5;
constexpr uint64_t kFlagParent = 1;
constexpr uint64_t kFlagPresent = 4;

std::string ReadFile(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  char buffer[16384];
  ssize_t count = 0;
  while (file && (count = ::read(file.get(), buffer, sizeof buffer)) > 0) text.append(buffer, static_cast<size_t>(count));
  return text;
}

Outcome ZeroExtents(const std::string& path, const std::vector<FileExtent>& extents) {
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return ErrnoOutcome(errno, "cannot open " + path);
  for (const FileExtent& extent : extents) {
    const std::string zeros(extent.size, '\0');
    if (::pwrite(file.get(), zeros.data(), zeros.size(), static_cast<off_t>(extent.offset)) !=
        static_cast<ssize_t>(zeros.size())) {
      return ErrnoOutcome(errno, "cannot zero the volatile pages in " + path);
    }
  }
  return {};
}

}  // namespace

std::vector<AddressRange> DroppableRanges(std::string_view smaps) {
  std::vector<AddressRange> ranges;
  AddressRange current;
  for (size_t at = 0; at < smaps.size();) {
    const size_t end = std::min(smaps.find('\n', at), smaps.size());
    const std::string_view line = smaps.substr(at, end - at);
    at = end + 1;
    constexpr std::string_view kFlags = "VmFlags:";
    if (line.starts_with(kFlags)) {
      if ((std::string(line.substr(kFlags.size())) + " ").find(" dp ") != std::string::npos) ranges.push_back(current);
      continue;
    }
    // A mapping's first line is "<hex>-<hex> rwxp …"; all others start with a capital letter and a name.
    const size_t dash = line.find('-');
    if (dash == std::string_view::npos) continue;
    AddressRange range;
    const auto start = std::from_chars(line.data(), line.data() + dash, range.start, 16);
    const auto stop = std::from_chars(line.data() + dash + 1, line.data() + line.size(), range.end, 16);
    if (start.ec == std::errc() && start.ptr == line.data() + dash && stop.ec == std::errc()) current = range;
  }
  return ranges;
}

std::vector<FileExtent> LocatePages(std::string_view pagemap_image, const std::vector<AddressRange>& ranges,
                                    uint64_t* pages_id, bool* ok) {
  const auto page_bytes = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  std::vector<FileExtent> extents;
  CriuImageReader image(pagemap_image);
  *ok = false;
  const auto head = image.Next();
  if (!head) return extents;
  ProtobufReader head_fields(*head);
  while (const auto field = head_fields.Next()) {
    if (field->number == kHeadPagesId) *pages_id = field->value;
  }
  uint64_t offset = 0;
  while (const auto entry = image.Next()) {
    uint64_t address = 0;
    uint64_t pages = 0;
    uint64_t flags = kFlagPresent;
    bool has_flags = false;
    bool in_parent = false;
    ProtobufReader fields(*entry);
    while (const auto field = fields.Next()) {
      if (field->number == kEntryAddress) address = field->value;
      if (field->number == kEntryCompatPages && pages == 0) pages = field->value;
      if (field->number == kEntryPages && field->value != 0) pages = field->value;
      if (field->number == kEntryInParent) in_parent = field->value != 0;
      if (field->number == kEntryFlags) {
        flags = field->value;
        has_flags = true;
      }
    }
    if (!fields.ok()) return extents;
    const bool stored = has_flags ? (flags & kFlagPresent) != 0 && (flags & kFlagParent) == 0 : !in_parent;
    if (!stored) continue;
    const uint64_t end = address + pages * page_bytes;
    for (const AddressRange& range : ranges) {
      const uint64_t from = std::max(address, range.start);
      const uint64_t to = std::min(end, range.end);
      if (from < to) extents.push_back({offset + (from - address), to - from});
    }
    offset += end - address;
  }
  *ok = image.ok();
  return extents;
}

Outcome ZeroVolatilePages(const std::string& images_dir) {
  std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(images_dir.c_str()), ::closedir);
  if (!dir) return ErrnoOutcome(errno, "cannot open " + images_dir);
  while (const dirent* entry = ::readdir(dir.get())) {
    int pid = 0;
    int consumed = 0;
    if (std::sscanf(entry->d_name, "pagemap-%d.img%n", &pid, &consumed) != 1 || consumed == 0 ||
        entry->d_name[consumed] != '\0') {
      continue;
    }
    const std::string smaps = ReadFile("/proc/" + std::to_string(pid) + "/smaps");
    if (smaps.empty()) return ErrnoOutcome(errno, "cannot read the mappings of process " + std::to_string(pid));
    const std::vector<AddressRange> ranges = DroppableRanges(smaps);
    if (ranges.empty()) continue;
    uint64_t pages_id = 0;
    bool ok = false;
    const std::vector<FileExtent> extents =
        LocatePages(ReadFile(images_dir + "/" + entry->d_name), ranges, &pages_id, &ok);
    // Better no snapshot than one whose copies share their random numbers.
    if (!ok) return Outcome(Code::kInternal, std::string("cannot understand ") + entry->d_name);
    if (extents.empty()) continue;
    const std::string pages = images_dir + "/pages-" + std::to_string(pages_id) + ".img";
    if (Outcome outcome = ZeroExtents(pages, extents); !outcome.ok()) return outcome;
  }
  return {};
}

}  // namespace thaw::init
