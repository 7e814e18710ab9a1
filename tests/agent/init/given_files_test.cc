#include "agent/init/given_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <variant>

#include "agent/init/order.h"

namespace thaw::init {
namespace {

namespace fs = std::filesystem;

std::string Content(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

unsigned Mode(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
}

class GivenFilesTest : public testing::Test {
 protected:
  GivenFilesTest() {
    char name[] = "/tmp/thaw-given.XXXXXX";
    root_ = ::mkdtemp(name);
    fs::create_directory(root_ + "/fn");
  }
  ~GivenFilesTest() override { fs::remove_all(root_); }

  void Write(const GivenFiles& given) {
    const Outcome outcome = WriteGivenFilesBelow(root_, given, ::getuid(), ::getgid());
    EXPECT_TRUE(outcome.ok()) << outcome.message();
  }

  std::string root_;
};

TEST_F(GivenFilesTest, ConfigIsForAllAndSecretsForTheFunctionAlone) {
  Write({.config = {{"URL", "http://a"}, {"GONE", std::nullopt}}, .secrets = {{"key", std::string("a\0b", 3)}}});
  EXPECT_EQ(nlohmann::json::parse(Content(root_ + "/fn/config.json")),
            nlohmann::json({{"URL", "http://a"}, {"GONE", nullptr}}));
  EXPECT_EQ(Mode(root_ + "/fn/config.json"), 0444u);
  EXPECT_EQ(Content(root_ + "/secrets/key"), std::string("a\0b", 3));
  EXPECT_EQ(Mode(root_ + "/secrets/key"), 0400u);
  EXPECT_EQ(Mode(root_ + "/secrets"), 0755u);
}

TEST_F(GivenFilesTest, WhatIsNotNamedAnyMoreIsRemoved) {
  Write({.config = {{"A", "1"}}, .secrets = {{"old", "1"}, {"kept", "1"}}});
  Write({.config = {}, .secrets = {{"kept", "2"}}});
  EXPECT_FALSE(fs::exists(root_ + "/secrets/old"));
  EXPECT_EQ(Content(root_ + "/secrets/kept"), "2");
  EXPECT_EQ(Content(root_ + "/fn/config.json"), "{}\n");
}

TEST_F(GivenFilesTest, AnOpenFileKeepsItsOldContent) {
  Write({.config = {}, .secrets = {{"key", "old"}}});
  std::ifstream open(root_ + "/secrets/key");
  Write({.config = {}, .secrets = {{"key", "new value"}}});
  std::string text;
  open >> text;
  EXPECT_EQ(text, "old");
}

TEST_F(GivenFilesTest, NothingIsLeftBeside) {
  Write({.config = {{"A", "1"}}, .secrets = {{"key", "1"}}});
  EXPECT_FALSE(fs::exists(root_ + "/.given"));
}

TEST_F(GivenFilesTest, AMissingDirectoryIsToldByItsName) {
  const Outcome outcome = WriteGivenFilesBelow(root_ + "/none", {}, 0, 0);
  EXPECT_FALSE(outcome.ok());
  EXPECT_NE(outcome.message().find(root_ + "/none/secrets"), std::string::npos);
}

TEST(Base64Test, DecodesAllLengths) {
  EXPECT_EQ(DecodeBase64(""), "");
  EXPECT_EQ(DecodeBase64("YQ=="), "a");
  EXPECT_EQ(DecodeBase64("YWI="), "ab");
  EXPECT_EQ(DecodeBase64("YWJj"), "abc");
  EXPECT_EQ(DecodeBase64("/+8A"), std::string("\xff\xef\0", 3));
}

TEST(Base64Test, RefusesWhatIsNone) {
  for (const char* text : {"YQ", "YQ=", "YQ==YQ==", "Y===", "Y Q=", "YQ=a", "----"}) {
    EXPECT_FALSE(DecodeBase64(text).has_value()) << text;
  }
}

TEST(SecretNameTest, IsTheNameOfAFile) {
  for (const char* name : {"a", "db.password", "TOKEN_1", "a-b", "..."}) EXPECT_TRUE(IsSecretName(name)) << name;
  for (const char* name : {"", ".", "..", "a/b", "a b", "ä"}) EXPECT_FALSE(IsSecretName(name)) << name;
  EXPECT_FALSE(IsSecretName(std::string(256, 'a')));
}

TEST(GivenOrderTest, ThreeOrdersCarryIt) {
  const std::string given = R"("config":{"A":"1","B":null},"secrets":{"key":"YQ=="},"sealed":true)";
  Order order;
  ASSERT_TRUE(ParseOrder(R"({"id":1,"op":"give",)" + given + "}", &order).ok());
  const GivenFiles& files = std::get<GiveOrder>(order.what).given;
  EXPECT_EQ(files.config.at("A"), "1");
  EXPECT_EQ(files.config.at("B"), std::nullopt);
  EXPECT_EQ(files.secrets.at("key"), "a");
  EXPECT_TRUE(files.sealed);
  ASSERT_TRUE(ParseOrder(R"({"id":1,"op":"start","argv":["a"],)" + given + "}", &order).ok());
  EXPECT_TRUE(std::get<StartOrder>(order.what).given.sealed);
  ASSERT_TRUE(ParseOrder(R"({"id":1,"op":"restore","dir":"/cracdata/a","timeout_ms":1,)" + given + "}", &order).ok());
  EXPECT_EQ(std::get<RestoreOrder>(order.what).given.secrets.at("key"), "a");
}

TEST(GivenOrderTest, WrongOnesAreRefusedWithoutTheirContent) {
  Order order;
  for (const char* fields : {R"("config":{"A":1})", R"("config":[])", R"("secrets":{"../x":"YQ=="})",
                             R"("secrets":{"key":"not base64"})", R"("secrets":{"key":null})", R"("sealed":1)"}) {
    const Outcome outcome = ParseOrder(std::string(R"({"id":1,"op":"give",)") + fields + "}", &order);
    EXPECT_EQ(outcome.code(), Code::kInvalidArgument) << fields;
    EXPECT_EQ(outcome.message().find("not base64"), std::string::npos);
  }
}

}  // namespace
}  // namespace thaw::init
