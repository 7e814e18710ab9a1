#include "agent/transfer/archive_check.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace thaw::agent {
namespace {

constexpr std::size_t kBlock = 512;
// manifest.json has some hundred bytes, a header entry a few.
constexpr std::uint64_t kMaxText = 1 << 20;

absl::Status NoArchive(absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("what arrived is no image archive: ", why, "; send what `docker save` writes, not compressed"));
}

// Octal digits, or binary with the top bit of the first byte set.
bool ParseSize(absl::string_view field, std::uint64_t* size) {
  *size = 0;
  if ((field[0] & 0x80) != 0) {
    for (std::size_t i = field.size() - 8; i < field.size(); ++i) *size = *size << 8 | static_cast<unsigned char>(field[i]);
    return true;
  }
  for (const char c : field) {
    if (c == '\0' || c == ' ') continue;
    if (c < '0' || c > '7') return false;
    *size = *size * 8 + static_cast<std::uint64_t>(c - '0');
  }
  return true;
}

std::string UntilNul(absl::string_view field) { return std::string(field.substr(0, field.find('\0'))); }

}  // namespace

ArchiveCheck::ArchiveCheck(absl::string_view image_id) : digest_(absl::StripPrefix(image_id, "sha256:")) {}

absl::Status ArchiveCheck::Update(absl::string_view part) {
  while (!part.empty() && !ended_) {
    if (content_left_ > 0) {
      const absl::string_view piece = part.substr(0, std::min<std::uint64_t>(part.size(), content_left_));
      if (want_ == Want::kText) absl::StrAppend(&text_, piece);
      if (want_ == Want::kDigest) hash_.Update(piece);
      content_left_ -= piece.size();
      part.remove_prefix(piece.size());
      if (content_left_ == 0) {
        EndOfEntry();
        if (type_ == 'x') {
          if (absl::Status status = PaxHeader(); !status.ok()) return status;
        }
      }
      continue;
    }
    if (padding_left_ > 0) {
      const std::uint64_t skip = std::min<std::uint64_t>(part.size(), padding_left_);
      padding_left_ -= skip;
      part.remove_prefix(skip);
      continue;
    }
    const std::size_t take = std::min(part.size(), kBlock - block_.size());
    absl::StrAppend(&block_, part.substr(0, take));
    part.remove_prefix(take);
    if (block_.size() < kBlock) continue;
    if (absl::Status status = Header(); !status.ok()) return status;
    block_.clear();
  }
  return absl::OkStatus();
}

absl::Status ArchiveCheck::Header() {
  const absl::string_view block = block_;
  if (block[0] == '\0') {
    // All that follows is padding.
    ended_ = true;
    return absl::OkStatus();
  }
  if (block.substr(257, 5) != "ustar") return NoArchive("a part of it is no tar header");
  type_ = block[156];
  name_ = UntilNul(block.substr(0, 100));
  std::uint64_t size = 0;
  if (!ParseSize(block.substr(124, 12), &size)) return NoArchive(absl::StrCat("entry ", name_, " has no size"));
  if (type_ != 'x' && type_ != 'L' && type_ != 'g') {
    if (!next_name_.empty()) name_ = next_name_;
    if (has_next_size_) size = next_size_;
    next_name_.clear();
    has_next_size_ = false;
  }
  content_left_ = size;
  padding_left_ = (kBlock - size % kBlock) % kBlock;
  want_ = Want::kNothing;
  text_.clear();
  const bool file = type_ == '0' || type_ == '\0';
  if (type_ == 'x' || type_ == 'L' || (file && name_ == "manifest.json")) {
    if (size > kMaxText) return NoArchive(absl::StrCat("entry ", name_, " has ", size, " bytes"));
    want_ = Want::kText;
  } else if (file && (name_ == absl::StrCat(digest_, ".json") || name_ == absl::StrCat("blobs/sha256/", digest_))) {
    want_ = Want::kDigest;
    hash_ = Sha256();
  }
  return absl::OkStatus();
}

void ArchiveCheck::EndOfEntry() {
  if (want_ == Want::kDigest) {
    configuration_is_right_ = hash_.FinishHex() == digest_;
    configuration_name_ = name_;
  } else if (type_ == 'L') {
    next_name_ = UntilNul(text_);
  } else if (want_ == Want::kText && type_ != 'x') {
    manifest_ = text_;
  }
}

absl::Status ArchiveCheck::PaxHeader() {
  // Records of "<length of the record> <key>=<value>\n".
  absl::string_view rest = text_;
  while (!rest.empty()) {
    const std::size_t space = rest.find(' ');
    std::uint64_t length = 0;
    if (space == absl::string_view::npos || !absl::SimpleAtoi(rest.substr(0, space), &length) || length <= space + 1 ||
        length > rest.size()) {
      return NoArchive("it has a broken extended header");
    }
    absl::string_view record = rest.substr(space + 1, length - space - 2);
    rest.remove_prefix(length);
    if (absl::ConsumePrefix(&record, "path=")) {
      next_name_ = std::string(record);
    } else if (absl::ConsumePrefix(&record, "size=")) {
      if (!absl::SimpleAtoi(record, &next_size_)) return NoArchive("it has a broken extended header");
      has_next_size_ = true;
    }
  }
  return absl::OkStatus();
}

absl::Status ArchiveCheck::Finish() {
  if (!ended_) return NoArchive("it is cut off");
  const nlohmann::json manifest = nlohmann::json::parse(manifest_, nullptr, false);
  if (!manifest.is_array() || manifest.empty()) return NoArchive("it has no manifest.json");
  for (const auto& image : manifest) {
    const auto configuration = image.is_object() ? image.find("Config") : image.end();
    if (!image.is_object() || configuration == image.end() || !configuration->is_string()) {
      return NoArchive("its manifest.json names no configuration");
    }
    if (!configuration_is_right_ || configuration->get<std::string>() != configuration_name_) {
      return absl::InvalidArgumentError(absl::StrCat("the archive holds an image with the configuration ",
                                                     configuration->get<std::string>(), ", not the announced image sha256:",
                                                     digest_));
    }
  }
  return absl::OkStatus();
}

}  // namespace thaw::agent
