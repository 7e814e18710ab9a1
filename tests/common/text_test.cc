#include <gmock/gmock.h>
#include <grpcpp/support/status.h>
#include <gtest/gtest.h>

#include <string>

#include "common/rpc/readable_strings.h"
#include "common/rpc/status.h"
#include "common/status/reasons.h"
#include "common/text/utf8.h"
#include "google/protobuf/struct.pb.h"

namespace thaw {
namespace {

using ::testing::HasSubstr;

TEST(Utf8, IsWhatRfc3629Says) {
  for (const char* text : {"", "plain", "gr\xc3\xb6\xc3\x9f" "e", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsUtf8(text)) << text;
  }
  for (const char* text : {"\xff", "caf\xe9", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80", "\xf8\x88\x80\x80\x80"}) {
    EXPECT_FALSE(IsUtf8(text)) << text;
    EXPECT_TRUE(IsUtf8(ReplaceInvalidUtf8(text))) << text;
    EXPECT_TRUE(IsUtf8(HeaderValueAsUtf8(text))) << text;
  }
  EXPECT_EQ(ReplaceInvalidUtf8("a\xff\xc3\xb6"), "a\xef\xbf\xbd\xc3\xb6");
}

TEST(Utf8, AHeadersBytesAreLatin1WhereTheyAreNoUtf8) {
  EXPECT_EQ(HeaderValueAsUtf8("caf\xe9"), "caf\xc3\xa9");
  EXPECT_EQ(HeaderValueAsUtf8("caf\xc3\xa9"), "caf\xc3\xa9");
}

TEST(ReadableStrings, EveryStringOfAMessageCanBeReadThen) {
  google::protobuf::Struct message;
  auto& list = *(*message.mutable_fields())["k\xff"].mutable_list_value();
  list.add_values()->set_string_value("a\xff");
  (*list.add_values()->mutable_struct_value()->mutable_fields())["inner"].set_string_value("\xfe" "b");
  google::protobuf::Struct read;
  EXPECT_FALSE(read.ParseFromString(message.SerializeAsString())) << "protobuf takes it as it is: the test proves nothing";

  MakeStringsReadable(message);
  ASSERT_TRUE(read.ParseFromString(message.SerializeAsString()));
  const auto& values = read.fields().at("k\xef\xbf\xbd").list_value();
  EXPECT_EQ(values.values(0).string_value(), "a\xef\xbf\xbd");
  EXPECT_EQ(values.values(1).struct_value().fields().at("inner").string_value(), "\xef\xbf\xbd" "b");
}

// A function's or a tool's words in a message used to take the reason along.
TEST(Reasons, SurviveAMessageThatIsNotUtf8) {
  const absl::Status status = FromGrpcStatus(ToGrpcStatus(
      WithReason(absl::InternalError("it said \xff"), reason::kFunctionExited, {{"stderr", "\xfe"}})));
  EXPECT_EQ(ReasonOf(status), reason::kFunctionExited);
  EXPECT_THAT(std::string(status.message()), HasSubstr("it said "));
}

}  // namespace
}  // namespace thaw
