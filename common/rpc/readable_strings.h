#ifndef THAW_COMMON_RPC_READABLE_STRINGS_H_
#define THAW_COMMON_RPC_READABLE_STRINGS_H_

#include <google/protobuf/message.h>

namespace thaw {

// Makes every `string` in `message`, however deep, UTF-8 (common/text/utf8.h: U+FFFD for what is not), so that who receives
// the message can read it: one stray byte of a function's output or of a tool's error otherwise loses all of it. For
// messages that carry such texts; it walks the whole message by reflection, so not for every call. Threads: any, one per
// message.
void MakeStringsReadable(google::protobuf::Message& message);

}  // namespace thaw

#endif  // THAW_COMMON_RPC_READABLE_STRINGS_H_
