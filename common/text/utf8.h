#ifndef THAW_COMMON_TEXT_UTF8_H_
#define THAW_COMMON_TEXT_UTF8_H_

#include <string>

#include "absl/strings/string_view.h"

// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing beyond U+10FFFF. What a function prints or answers
// may be anything; a protobuf `string` with other bytes makes the whole message unreadable for who receives it.
namespace thaw {

// Takes one character off the front of `text`, which must not be empty: its code point into `code`, its bytes into
// `bytes`. Returns false, having taken one byte, when that begins no character.
bool TakeCharacter(absl::string_view& text, char32_t& code, absl::string_view& bytes);

bool IsUtf8(absl::string_view text);

// Each byte that belongs to no character becomes U+FFFD.
std::string ReplaceInvalidUtf8(std::string text);

// As it is when it is UTF-8; otherwise read as ISO-8859-1, which is what a header's bytes beyond ASCII once meant (RFC 9110,
// section 5.5).
std::string HeaderValueAsUtf8(std::string value);

}  // namespace thaw

#endif  // THAW_COMMON_TEXT_UTF8_H_
