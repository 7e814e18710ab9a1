#include "common/ids/ids.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "common/crypto/sha256.h"

namespace thaw {
namespace {

TEST(Ids, AreTwentySixDigitsOfFnsAlphabetAndNeverTheSame) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = NewId();
    EXPECT_EQ(id.size(), 26u);
    EXPECT_EQ(id.find_first_not_of("0123456789ABCDEFGHJKMNPQRSTVWXYZ"), std::string::npos) << id;
    EXPECT_TRUE(seen.insert(id).second);
  }
}

TEST(Ids, HexIdsHaveTwoDigitsAByte) {
  EXPECT_EQ(NewHexId(8).size(), 16u);
  EXPECT_NE(NewHexId(8), NewHexId(8));
}

TEST(Ids, SafeNamesCannotLeaveADirectory) {
  EXPECT_TRUE(IsSafeName("node-1.example_a"));
  for (const char* bad : {"", ".", "..", "../x", "a/b", "-x", "a b", "a\n"}) EXPECT_FALSE(IsSafeName(bad)) << bad;
  EXPECT_FALSE(IsSafeName(std::string(129, 'a')));
}

TEST(Sha256, MatchesTheKnownVectorsAndCanBeUsedAgain) {
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 hash;
  for (int round = 0; round < 2; ++round) {
    hash.Update("a");
    hash.Update("bc");
    EXPECT_EQ(hash.FinishHex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  }
}

TEST(Sha256, ComparisonSeesLengthAndContent) {
  EXPECT_TRUE(ConstantTimeEquals("abc", "abc"));
  EXPECT_FALSE(ConstantTimeEquals("abc", "abd"));
  EXPECT_FALSE(ConstantTimeEquals("abc", "ab"));
}

}  // namespace
}  // namespace thaw
