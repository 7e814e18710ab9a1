#include "cli/exit_code.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status/reasons.h"

namespace thaw::cli {
namespace {

using ::testing::HasSubstr;

TEST(ExitCode, EveryKindOfErrorHasItsNumber) {
  EXPECT_EQ(static_cast<int>(ExitCodeOf(absl::OkStatus())), 0);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(WithReason(absl::InternalError("x"), reason::kFunctionFailed))), 1);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(WithReason(absl::InternalError("x"), reason::kFunctionExited))), 1);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(WithReason(absl::InternalError("x"), local_reason::kClaimFailed))),
            1);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(absl::InvalidArgumentError("x"))), 2);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(WithReason(absl::NotFoundError("x"), reason::kFunctionNotFound))), 3);
  EXPECT_EQ(
      static_cast<int>(ExitCodeOf(WithReason(absl::FailedPreconditionError("x"), reason::kNodeNotFound))), 3);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(absl::UnavailableError("x"))), 4);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(absl::FailedPreconditionError("x"))), 5);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(absl::AlreadyExistsError("x"))), 5);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(absl::PermissionDeniedError("x"))), 5);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(absl::ResourceExhaustedError("x"))), 6);
  EXPECT_EQ(
      static_cast<int>(ExitCodeOf(WithReason(absl::DeadlineExceededError("x"), reason::kFunctionTimeout))),
      7);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(WithReason(absl::AbortedError("x"), reason::kAnswerLost))), 8);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(WithReason(absl::InternalError("x"), reason::kInternal))), 9);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(absl::DataLossError("x"))), 9);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(LocalError(absl::NotFoundError("x"), local_reason::kFile))), 10);
  EXPECT_EQ(
      static_cast<int>(ExitCodeOf(LocalError(absl::DeadlineExceededError("x"), local_reason::kToolFailed))),
      10);
  EXPECT_EQ(static_cast<int>(ExitCodeOf(absl::CancelledError("interrupted"))), 130);
}

TEST(ExitCode, HelpDocumentsEveryNumber) {
  for (const char* number : {"0 ", "1 ", "2 ", "3 ", "4 ", "5 ", "6 ", "7 ", "8 ", "9 ", "10 ", "130 "}) {
    EXPECT_THAT(ExitCodeHelp(), HasSubstr(std::string("  ") + number));
  }
}

TEST(NextStep, NamesTheCommandThatHelps) {
  EXPECT_THAT(NextStep(WithReason(absl::NotFoundError("x"), reason::kFunctionNotFound), "s"),
              HasSubstr("thaw functions list"));
  EXPECT_THAT(NextStep(WithReason(absl::InternalError("x"), reason::kFunctionExited), "s", "demo/hello"),
              HasSubstr("thaw logs demo/hello"));
  EXPECT_THAT(NextStep(absl::UnavailableError("x"), "host:7000"), HasSubstr("host:7000"));
  EXPECT_THAT(NextStep(LocalError(absl::NotFoundError("x"), local_reason::kDockerMissing), "s"),
              HasSubstr("install Docker"));
}

TEST(NextStep, ARetryDelayIsSaid) {
  EXPECT_THAT(NextStep(WithRetryAfter(WithReason(absl::ResourceExhaustedError("x"), reason::kQueueFull),
                                      absl::Seconds(2)),
                       "s"),
              HasSubstr("try again in 2s"));
}

}  // namespace
}  // namespace thaw::cli
