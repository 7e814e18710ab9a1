#include "agent/node/version_news.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace thaw::agent {
namespace {

class VersionNewsTest : public ::testing::Test {
 protected:
  bool Answer(VersionNews::Question& question, const std::string& state) {
    return question.ApplyAnswer([&] { state_ = state; });
  }
  void Stream(const std::string& version_id, const std::string& state) {
    news_.Apply(version_id, [&] { state_ = state; });
  }

  VersionNews news_;
  std::string state_;
};

TEST_F(VersionNewsTest, AnAnswerIsAppliedWhereTheStreamSaidNothing) {
  VersionNews::Question question(news_, "v");
  Stream("another", "of another");
  EXPECT_TRUE(Answer(question, "answer"));
  EXPECT_EQ(state_, "answer");
}

TEST_F(VersionNewsTest, AnAnswerDoesNotUndoNewerNews) {
  VersionNews::Question question(news_, "v");
  Stream("v", "newer");
  EXPECT_FALSE(Answer(question, "older"));
  EXPECT_EQ(state_, "newer");
}

TEST_F(VersionNewsTest, AQuestionAskedAfterTheNewsIsAnswered) {
  auto before = std::make_unique<VersionNews::Question>(news_, "v");
  Stream("v", "newer");
  VersionNews::Question after(news_, "v");
  EXPECT_TRUE(Answer(after, "answer"));
  EXPECT_FALSE(Answer(*before, "older"));
  before.reset();
  EXPECT_TRUE(Answer(after, "again"));
  EXPECT_EQ(state_, "again");
}

TEST_F(VersionNewsTest, NewsGoOnBeingAppliedWithoutQuestions) {
  { VersionNews::Question gone(news_, "v"); }
  Stream("v", "first");
  Stream("v", "second");
  EXPECT_EQ(state_, "second");
}

}  // namespace
}  // namespace thaw::agent
