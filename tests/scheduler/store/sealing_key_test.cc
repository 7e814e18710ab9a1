#include "scheduler/store/sealing_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace thaw::scheduler {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class SealingKeyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/thaw-key-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    directory_ = path;
    file_ = directory_ + "/secrets.key";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string directory_, file_;
};

TEST_F(SealingKeyTest, AnotherStartOpensWhatTheFirstSealed) {
  const auto first = SealingKey::LoadOrMake(file_);
  ASSERT_TRUE(first.ok()) << first.status();
  struct stat info {};
  ASSERT_EQ(stat(file_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(info.st_size, 32);
  const std::string sealed = first->Seal("the value", "app/key");
  const auto second = SealingKey::LoadOrMake(file_);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(*second->Open(sealed, "app/key"), "the value");
}

TEST_F(SealingKeyTest, SealedBytesShowNothingAndDifferEachTime) {
  const SealingKey key(std::string(SealingKey::kBytes, 'k'));
  const std::string sealed = key.Seal("the value of a secret", "app/key");
  EXPECT_THAT(sealed, Not(HasSubstr("value")));
  EXPECT_NE(sealed, key.Seal("the value of a secret", "app/key"));
}

TEST_F(SealingKeyTest, AnotherKeyAnotherPlaceAndAnyFlippedByteAreRefused) {
  const SealingKey key(std::string(SealingKey::kBytes, 'k'));
  const std::string sealed = key.Seal("value", "app/key");
  EXPECT_EQ(SealingKey(std::string(SealingKey::kBytes, 'x')).Open(sealed, "app/key").status().code(),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(key.Open(sealed, "other/key").status().code(), absl::StatusCode::kDataLoss);
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_EQ(key.Open(changed, "app/key").status().code(), absl::StatusCode::kDataLoss) << i;
  }
  EXPECT_EQ(key.Open(sealed.substr(0, 20), "app/key").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(*key.Open(key.Seal("", "c"), "c"), "");
}

TEST_F(SealingKeyTest, AFileOfAnotherLengthIsNoKeyAndIsLeftAlone) {
  std::ofstream(file_) << "short";
  std::filesystem::permissions(file_, std::filesystem::perms(0600));
  const auto key = SealingKey::LoadOrMake(file_);
  EXPECT_EQ(key.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(key.status().message()), HasSubstr("backup"));
  std::ifstream left(file_);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(left), {}), "short");
}

TEST_F(SealingKeyTest, AKeyThatOthersMayReadIsRefused) {
  ASSERT_TRUE(SealingKey::LoadOrMake(file_).ok());
  std::filesystem::permissions(file_, std::filesystem::perms(0644));
  const auto key = SealingKey::LoadOrMake(file_);
  EXPECT_EQ(key.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(key.status().message()), HasSubstr("chmod"));
}

TEST_F(SealingKeyTest, WithoutItsDirectoryItCanNotBeMade) {
  EXPECT_EQ(SealingKey::LoadOrMake(directory_ + "/none/secrets.key").status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace thaw::scheduler
