#include "common/text/utf8.h"

#include <array>
#include <cstddef>

namespace thaw {

bool TakeCharacter(absl::string_view& text, char32_t& code, absl::string_view& bytes) {
  const auto byte = [&text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  std::size_t length = 1;
  code = lead;
  if (lead >= 0x80) {
    length = lead >= 0xF0 && lead <= 0xF4 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 && lead < 0xE0 ? 2 : 0;
    if (lead > 0xF4) length = 0;
    bool valid = length != 0 && text.size() >= length;
    if (valid) {
      code = lead & (0xFFu >> (length + 1));
      for (std::size_t i = 1; i < length; ++i) {
        valid = valid && (byte(i) & 0xC0) == 0x80;
        code = (code << 6) | (byte(i) & 0x3Fu);
      }
      static constexpr std::array<char32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
      valid = valid && code >= kSmallest[length] && code <= 0x10FFFF && !(code >= 0xD800 && code <= 0xDFFF);
    }
    if (!valid) {
      bytes = text.substr(0, 1);
      text.remove_prefix(1);
      return false;
    }
  }
  bytes = text.substr(0, length);
  text.remove_prefix(length);
  return true;
}

bool IsUtf8(absl::string_view text) {
  char32_t code = 0;
  absl::string_view bytes;
  while (!text.empty()) {
    if (!TakeCharacter(text, code, bytes)) return false;
  }
  return true;
}

std::string ReplaceInvalidUtf8(std::string text) {
  if (IsUtf8(text)) return text;
  std::string replaced;
  char32_t code = 0;
  absl::string_view bytes;
  for (absl::string_view rest = text; !rest.empty();) {
    if (TakeCharacter(rest, code, bytes)) {
      replaced.append(bytes.data(), bytes.size());
    } else {
      replaced.append("\xef\xbf\xbd");
    }
  }
  return replaced;
}

std::string HeaderValueAsUtf8(std::string value) {
  if (IsUtf8(value)) return value;
  std::string read;
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      read.push_back(c);
    } else {
      read.push_back(static_cast<char>(0xC0 | (byte >> 6)));
      read.push_back(static_cast<char>(0x80 | (byte & 0x3F)));
    }
  }
  return read;
}

}  // namespace thaw
