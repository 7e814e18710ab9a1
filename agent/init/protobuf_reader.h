#ifndef THAW_AGENT_INIT_PROTOBUF_READER_H_
#define THAW_AGENT_INIT_PROTOBUF_READER_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace thaw::init {

// Walks the fields of one protobuf message without its schema. CRIU's images are read only for a few numbers,
// which is not worth linking libprotobuf into PID 1.
class ProtobufReader {
 public:
  struct Field {
    uint32_t number = 0;
    uint64_t value = 0;      // of varint and fixed fields
    std::string_view bytes;  // of length-delimited fields
  };

  explicit ProtobufReader(std::string_view message) : left_(message) {}

  // The next field; nullopt at the end, and where the message is malformed (then ok() is false).
  std::optional<Field> Next();
  bool ok() const { return ok_; }

 private:
  std::optional<uint64_t> Varint();

  std::string_view left_;
  bool ok_ = true;
};

// Steps over the entries of a CRIU image: two 32-bit magics, then (32-bit size, message) repeated.
class CriuImageReader {
 public:
  explicit CriuImageReader(std::string_view image);
  // The next message; nullopt at the end, and where the image is cut short (then ok() is false).
  std::optional<std::string_view> Next();
  bool ok() const { return ok_; }

 private:
  std::string_view left_;
  bool ok_ = true;
};

}  // namespace thaw::init

#endif  // THAW_AGENT_INIT_PROTOBUF_READER_H_
