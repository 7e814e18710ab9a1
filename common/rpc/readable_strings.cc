#include "common/rpc/readable_strings.h"

#include <google/protobuf/descriptor.h>

#include <vector>

#include "common/text/utf8.h"

namespace thaw {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

void MakeStringsReadable(Message& message) {
  const Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const bool is_string = field->type() == FieldDescriptor::TYPE_STRING;
    if (!is_string && field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      if (is_string) {
        std::string text = reflection.GetString(message, field);
        if (!IsUtf8(text)) reflection.SetString(&message, field, ReplaceInvalidUtf8(std::move(text)));
      } else {
        MakeStringsReadable(*reflection.MutableMessage(&message, field));
      }
      continue;
    }
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      if (is_string) {
        std::string text = reflection.GetRepeatedString(message, field, i);
        if (!IsUtf8(text)) reflection.SetRepeatedString(&message, field, i, ReplaceInvalidUtf8(std::move(text)));
      } else {
        MakeStringsReadable(*reflection.MutableRepeatedMessage(&message, field, i));
      }
    }
  }
}

}  // namespace thaw
