#include "agent/start/given.h"

#include <gtest/gtest.h>

#include <optional>

#include "common/status/reasons.h"

namespace thaw::agent {
namespace {

VersionState State() {
  VersionState state;
  auto& spec = *state.mutable_spec();
  spec.set_function_name("hello");
  spec.set_app_name("shop");
  for (const char* key : {"URL", "UNSET"}) spec.mutable_freeze()->add_restore_time_config(key);
  spec.mutable_freeze()->add_secrets()->set_name("early");
  auto& late = *spec.mutable_freeze()->add_secrets();
  late.set_name("late");
  late.set_after_restore_only(true);
  (*state.mutable_restore_time_config())["URL"] = "now";
  (*state.mutable_secrets())["early"] = "e";
  (*state.mutable_secrets())["late"] = "l";
  return state;
}

TEST(GivenTest, BeforeTheFreezeLateSecretsAreLeftOutAndNothingIsSealed) {
  const Given given = MakeGiven(State(), false);
  EXPECT_EQ(given.secrets, (std::map<std::string, std::string>{{"early", "e"}}));
  EXPECT_FALSE(given.sealed);
}

TEST(GivenTest, AfterTheRestoreAllAreThereAndItIsSealed) {
  const Given given = MakeGiven(State(), true);
  EXPECT_EQ(given.secrets, (std::map<std::string, std::string>{{"early", "e"}, {"late", "l"}}));
  EXPECT_TRUE(given.sealed);
}

TEST(GivenTest, AKeyWithoutAValueIsSaidToHaveNone) {
  EXPECT_EQ(MakeGiven(State(), false).config,
            (std::map<std::string, std::optional<std::string>>{{"URL", "now"}, {"UNSET", std::nullopt}}));
}

TEST(GivenTest, WithoutLateSecretsNothingIsEverSealed) {
  VersionState state = State();
  state.mutable_spec()->mutable_freeze()->mutable_secrets()->RemoveLast();
  EXPECT_FALSE(HasLateSecrets(state));
  EXPECT_FALSE(MakeGiven(state, true).sealed);
  EXPECT_TRUE(HasLateSecrets(State()));
}

TEST(GivenTest, OnlyValuesMakeADifference) {
  VersionState other = State();
  other.mutable_snapshot()->set_id("s");
  EXPECT_TRUE(GivesTheSame(State(), other));
  (*other.mutable_secrets())["late"] = "another";
  EXPECT_FALSE(GivesTheSame(State(), other));
  other = State();
  other.clear_restore_time_config();
  EXPECT_FALSE(GivesTheSame(State(), other));
  EXPECT_FALSE(GivesTheSame(other, State()));
}

TEST(GivenTest, AMissingSecretIsNamedWithItsRemedy) {
  EXPECT_TRUE(CheckSecrets(State()).ok());
  VersionState state = State();
  state.mutable_secrets()->erase("late");
  const absl::Status status = CheckSecrets(state);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(status), reason::kSecretMissing);
  EXPECT_EQ(ReasonMetadata(status, "secrets"), "late");
  EXPECT_NE(status.message().find("thaw secret set shop late"), absl::string_view::npos) << status;
}

}  // namespace
}  // namespace thaw::agent
