#include "common/ids/ids.h"

#include <sys/random.h>

#include <array>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/time/clock.h"

namespace thaw {
namespace {

// The kernel's generator neither blocks nor fails for so few bytes once the machine has booted.
template <std::size_t N>
std::array<std::uint8_t, N> RandomBytes() {
  std::array<std::uint8_t, N> bytes;
  if (getrandom(bytes.data(), N, 0) != static_cast<ssize_t>(N)) std::abort();
  return bytes;
}

}  // namespace

std::string NewId() {
  static constexpr char kAlphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  std::array<std::uint8_t, 16> raw{};
  const auto millis = static_cast<std::uint64_t>(absl::ToUnixMillis(absl::Now()));
  for (int i = 0; i < 6; ++i) raw[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(millis >> (40 - 8 * i));
  const auto random = RandomBytes<10>();
  for (std::size_t i = 0; i < 10; ++i) raw[6 + i] = random[i];
  // 128 bits are 25.6 digits: the first digit carries three bits, the others five.
  std::string id(26, '0');
  unsigned __int128 value = 0;
  for (std::uint8_t byte : raw) value = (value << 8) | byte;
  for (int i = 25; i >= 0; --i) {
    id[static_cast<std::size_t>(i)] = kAlphabet[static_cast<std::size_t>(value & 31)];
    value >>= 5;
  }
  return id;
}

std::string NewHexId(int bytes) {
  const auto random = RandomBytes<32>();
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(random.data()),
                                                  static_cast<std::size_t>(bytes < 32 ? bytes : 32)));
}

bool IsSafeName(absl::string_view name) {
  if (name.empty() || name.size() > 128 || !absl::ascii_isalnum(static_cast<unsigned char>(name[0]))) return false;
  for (char c : name) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '.' && c != '-') return false;
  }
  return true;
}

}  // namespace thaw
