#include "scheduler/catalogue/secret_catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/status/reasons.h"
#include "scheduler/limits.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_store.h"

namespace thaw::scheduler {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

SealingKey Key(char byte = 'k') { return SealingKey(std::string(SealingKey::kBytes, byte)); }

common::v1::SetSecretRequest Request(const std::string& app, const std::string& name, const std::string& value) {
  common::v1::SetSecretRequest request;
  request.set_app_id(app);
  request.set_name(name);
  request.set_value(value);
  return request;
}

class SecretCatalogueTest : public ::testing::Test {
 protected:
  // Another process over the same store.
  void Restart(char key = 'k') { secrets_.emplace(store_, clock_, Key(key), *store_.Load()); }

  thaw::testing::FakeStore store_;
  thaw::testing::FakeClock clock_;
  std::optional<SecretCatalogue> secrets_{std::in_place, store_, clock_, Key(), StoreContents{}};
};

TEST_F(SecretCatalogueTest, AValueIsKeptOverARestartAndLiesSealedInTheStore) {
  ASSERT_TRUE(secrets_->Set(Request("a", "key", "the value")).ok());
  const StoreContents contents = *store_.Load();
  ASSERT_EQ(contents.secrets.size(), 1u);
  EXPECT_THAT(contents.secrets[0].sealed, Not(HasSubstr("value")));
  Restart();
  EXPECT_EQ(secrets_->Value("a", "key"), "the value");
  EXPECT_EQ(secrets_->Value("b", "key"), std::nullopt);
  EXPECT_THAT(secrets_->UnreadableNames(), IsEmpty());
}

TEST_F(SecretCatalogueTest, AnswersCarryNoValue) {
  const auto set = secrets_->Set(Request("a", "key", "hush"));
  ASSERT_TRUE(set.ok());
  EXPECT_EQ(set->size_bytes(), 4u);
  EXPECT_TRUE(set->has_updated_at());
  EXPECT_THAT(set->SerializeAsString(), Not(HasSubstr("hush")));
  ASSERT_EQ(secrets_->List("a").size(), 1u);
  EXPECT_THAT(secrets_->List("a")[0].SerializeAsString(), Not(HasSubstr("hush")));
}

TEST_F(SecretCatalogueTest, AnotherValueReplacesTheFirst) {
  ASSERT_TRUE(secrets_->Set(Request("a", "key", "one")).ok());
  ASSERT_TRUE(secrets_->Set(Request("a", "key", "second")).ok());
  EXPECT_EQ(secrets_->Value("a", "key"), "second");
  ASSERT_EQ(secrets_->List("a").size(), 1u);
  EXPECT_EQ(secrets_->List("a")[0].size_bytes(), 6u);
}

TEST_F(SecretCatalogueTest, NamesThatAreNoFileNamesAreRefused) {
  for (const char* name : {"", ".", "..", "a/b", "a b", "schlüssel"}) {
    const auto set = secrets_->Set(Request("a", name, "v"));
    EXPECT_EQ(set.status().code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_EQ(ReasonMetadata(set.status(), "field"), "name");
  }
  EXPECT_FALSE(secrets_->Set(Request("a", std::string(256, 'a'), "v")).ok());
  EXPECT_TRUE(secrets_->Set(Request("a", std::string(255, 'a'), "v")).ok());
}

TEST_F(SecretCatalogueTest, EmptyAndTooLongValuesAreRefusedWithoutBeingRepeated) {
  EXPECT_EQ(secrets_->Set(Request("a", "key", "")).status().code(), absl::StatusCode::kInvalidArgument);
  const std::string longest(limits::kMaxSecretBytes, 'v');
  EXPECT_TRUE(secrets_->Set(Request("a", "key", longest)).ok());
  const auto set = secrets_->Set(Request("a", "key", longest + "v"));
  EXPECT_EQ(set.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(set.status().message()), Not(HasSubstr("vvv")));
}

TEST_F(SecretCatalogueTest, AnAppHasABoundedNumberAndBytesOfThem) {
  for (std::size_t i = 0; i < limits::kMaxSecretsPerApp; ++i) {
    ASSERT_TRUE(secrets_->Set(Request("a", absl::StrCat("key", i), "v")).ok());
  }
  EXPECT_EQ(secrets_->Set(Request("a", "more", "v")).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(secrets_->Set(Request("a", "key0", "another")).ok());
  const std::string longest(limits::kMaxSecretBytes, 'v');
  for (std::size_t i = 0; i < limits::kMaxSecretBytesPerApp / limits::kMaxSecretBytes; ++i) {
    ASSERT_TRUE(secrets_->Set(Request("b", absl::StrCat("key", i), longest)).ok());
  }
  EXPECT_EQ(secrets_->Set(Request("b", "more", "v")).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(secrets_->Set(Request("b", "key0", longest)).ok());
}

TEST_F(SecretCatalogueTest, ADeletedOneIsGoneAndAnUnknownOneIsNotFound) {
  ASSERT_TRUE(secrets_->Set(Request("a", "key", "v")).ok());
  ASSERT_TRUE(secrets_->Delete("a", "key").ok());
  EXPECT_EQ(secrets_->Value("a", "key"), std::nullopt);
  const absl::Status again = secrets_->Delete("a", "key");
  EXPECT_EQ(again.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(again), reason::kSecretNotFound);
  Restart();
  EXPECT_THAT(secrets_->List("a"), IsEmpty());
}

TEST_F(SecretCatalogueTest, WhatTheStoreRefusesHasNotHappened) {
  ASSERT_TRUE(secrets_->Set(Request("a", "key", "old")).ok());
  store_.FailApply(absl::UnavailableError("disk"));
  EXPECT_EQ(secrets_->Set(Request("a", "key", "new")).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(secrets_->Delete("a", "key").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(secrets_->Value("a", "key"), "old");
}

TEST_F(SecretCatalogueTest, SecretsOfAppsThatAreGoneAreDropped) {
  ASSERT_TRUE(secrets_->Set(Request("a", "key", "v")).ok());
  ASSERT_TRUE(secrets_->Set(Request("b", "key", "v")).ok());
  ASSERT_TRUE(secrets_->DropAllBut({"b"}).ok());
  EXPECT_THAT(secrets_->List("a"), IsEmpty());
  ASSERT_TRUE(secrets_->DropApp("b").ok());
  EXPECT_THAT(store_.Load()->secrets, IsEmpty());
}

TEST_F(SecretCatalogueTest, WithAnotherKeyTheyAreListedButHaveNoValueUntilSetAgain) {
  ASSERT_TRUE(secrets_->Set(Request("a", "key", "v")).ok());
  Restart('x');
  EXPECT_THAT(secrets_->UnreadableNames(), ::testing::ElementsAre("a/key"));
  EXPECT_EQ(secrets_->Value("a", "key"), std::nullopt);
  EXPECT_EQ(secrets_->List("a").size(), 1u);
  ASSERT_TRUE(secrets_->Set(Request("a", "key", "new")).ok());
  EXPECT_THAT(secrets_->UnreadableNames(), IsEmpty());
  Restart('x');
  EXPECT_EQ(secrets_->Value("a", "key"), "new");
}

}  // namespace
}  // namespace thaw::scheduler
