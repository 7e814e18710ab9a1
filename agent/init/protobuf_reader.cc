#include "agent/init/protobuf_reader.h"

#include <cstring>

namespace thaw::init {

std::optional<uint64_t> ProtobufReader::Varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && !left_.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(left_.front());
    left_.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  ok_ = false;
  left_ = {};
  return std::nullopt;
}

std::optional<ProtobufReader::Field> ProtobufReader::Next() {
  if (left_.empty()) return std::nullopt;
  const auto key = Varint();
  if (!key) return std::nullopt;
  Field field;
  field.number = static_cast<uint32_t>(*key >> 3);
  size_t size = 0;
  switch (*key & 7) {
    case 0: {
      const auto value = Varint();
      if (!value) return std::nullopt;
      field.value = *value;
      return field;
    }
    case 1: size = 8; break;
    case 5: size = 4; break;
    case 2: {
      const auto length = Varint();
      if (!length) return std::nullopt;
      if (*length > left_.size()) size = left_.size() + 1;
      else size = static_cast<size_t>(*length);
      break;
    }
    default: size = left_.size() + 1;
  }
  if (size > left_.size()) {
    ok_ = false;
    left_ = {};
    return std::nullopt;
  }
  field.bytes = left_.substr(0, size);
  if ((*key & 7) != 2) std::memcpy(&field.value, field.bytes.data(), size);
  left_.remove_prefix(size);
  return field;
}

CriuImageReader::CriuImageReader(std::string_view image) : left_(image) {
  if (left_.size() < 8) {
    ok_ = false;
    left_ = {};
    return;
  }
  left_.remove_prefix(8);
}

std::optional<std::string_view> CriuImageReader::Next() {
  if (left_.empty()) return std::nullopt;
  uint32_t size = 0;
  if (left_.size() >= sizeof size) std::memcpy(&size, left_.data(), sizeof size);
  if (left_.size() < sizeof size || left_.size() - sizeof size < size) {
    ok_ = false;
    left_ = {};
    return std::nullopt;
  }
  const std::string_view message = left_.substr(sizeof size, size);
  left_.remove_prefix(sizeof size + size);
  return message;
}

}  // namespace thaw::init
