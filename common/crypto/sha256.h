#ifndef THAW_COMMON_CRYPTO_SHA256_H_
#define THAW_COMMON_CRYPTO_SHA256_H_

#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace thaw {

// SHA-256 of data that comes in parts. One thread at a time.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void Update(absl::string_view data);
  // 64 lower-case hex digits. The object is then as new.
  std::string FinishHex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// 64 lower-case hex digits.
std::string Sha256Hex(absl::string_view data);

// Compares in a time that depends on the lengths only.
bool ConstantTimeEquals(absl::string_view a, absl::string_view b);

}  // namespace thaw

#endif  // THAW_COMMON_CRYPTO_SHA256_H_
