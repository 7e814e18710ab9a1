#include "scheduler/catalogue/version.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <set>
#include <string>

#include "common/rpc/client.h"

namespace thaw::scheduler {
namespace {

common::v1::App App() {
  common::v1::App app;
  app.set_id("A");
  app.set_name("app");
  (*app.mutable_config())["X"] = "1";
  return app;
}
common::v1::Function Function() {
  common::v1::Function function;
  function.set_id("F");
  function.set_name("fn");
  function.set_image("image:1");
  function.set_image_id("sha256:" + std::string(64, 'a'));
  function.set_memory_mib(128);
  function.set_cpu_millis(100);
  (*function.mutable_config())["Y"] = "2";
  return function;
}
std::string IdOf(const common::v1::App& app, const common::v1::Function& function) {
  return MakeVersion(app, function)->version_id();
}
std::string IdWith(const std::function<void(common::v1::App&, common::v1::Function&)>& change) {
  auto app = App();
  auto function = Function();
  change(app, function);
  return IdOf(app, function);
}

TEST(MakeVersionTest, AFunctionWithoutAnImageIdHasNoVersion) {
  auto function = Function();
  function.clear_image_id();
  EXPECT_FALSE(MakeVersion(App(), function).has_value());
}

TEST(MakeVersionTest, AnIdIs32HexDigitsAndDoesNotChangeWithTime) {
  // Pinned: another digest for the same function would make every snapshot in the field worthless.
  EXPECT_EQ(IdOf(App(), Function()), "f44598f90e3728350af6d42e4eb09976");
}

TEST(MakeVersionTest, AllThatASnapshotDependsOnMakesAnotherVersion) {
  std::set<std::string> ids{IdOf(App(), Function())};
  const auto expect_other = [&](const char* what, const std::string& id) {
    EXPECT_TRUE(ids.insert(id).second) << what;
  };
  expect_other("app id", IdWith([](auto& app, auto&) { app.set_id("B"); }));
  expect_other("function id", IdWith([](auto&, auto& function) { function.set_id("G"); }));
  expect_other("image id", IdWith([](auto&, auto& f) { f.set_image_id("sha256:" + std::string(64, 'b')); }));
  expect_other("memory", IdWith([](auto&, auto& function) { function.set_memory_mib(129); }));
  expect_other("cpu", IdWith([](auto&, auto& function) { function.set_cpu_millis(101); }));
  expect_other("app config", IdWith([](auto& app, auto&) { (*app.mutable_config())["X"] = "9"; }));
  expect_other("function config", IdWith([](auto&, auto& function) { (*function.mutable_config())["Y"] = "9"; }));
  expect_other("one more key", IdWith([](auto&, auto& function) { (*function.mutable_config())["Z"] = "3"; }));
  expect_other("one key less", IdWith([](auto&, auto& function) { function.clear_config(); }));
  expect_other("key and value apart elsewhere", IdWith([](auto&, auto& f) {
                 f.clear_config();
                 (*f.mutable_config())["Y2"] = "";
               }));
}

TEST(MakeVersionTest, NamesTimeoutsAndPolicyKeepTheVersion) {
  const std::string id = IdOf(App(), Function());
  EXPECT_EQ(id, IdWith([](auto& app, auto&) { app.set_name("other"); }));
  EXPECT_EQ(id, IdWith([](auto&, auto& function) { function.set_name("other"); }));
  EXPECT_EQ(id, IdWith([](auto&, auto& function) { function.set_image("same:again"); }));
  EXPECT_EQ(id, IdWith([](auto&, auto& function) { *function.mutable_timeout() = ToProto(absl::Seconds(9)); }));
  EXPECT_EQ(id, IdWith([](auto&, auto& function) { *function.mutable_idle_timeout() = ToProto(absl::Seconds(9)); }));
  EXPECT_EQ(id, IdWith([](auto&, auto& function) { function.mutable_checkpoint()->set_after_invocations(9); }));
  EXPECT_EQ(id, IdWith([](auto& app, auto&) { (*app.mutable_annotations())["a"] = "1"; }));
}

TEST(MakeVersionTest, WhereAKeyIsSetDoesNotMatterOnlyWhatTheProcessSees) {
  EXPECT_EQ(IdOf(App(), Function()), IdWith([](auto& app, auto& function) {
              app.clear_config();
              (*function.mutable_config())["X"] = "1";
            }));
}

TEST(MakeVersionTest, AFunctionsConfigWinsOverItsApps) {
  auto function = Function();
  (*function.mutable_config())["X"] = "mine";
  const auto spec = MakeVersion(App(), function);
  EXPECT_EQ(spec->config().at("X"), "mine");
  EXPECT_EQ(spec->config().at("Y"), "2");
  EXPECT_EQ(spec->engine(), "criu");
}

TEST(MakeVersionTest, FreezeSettingsThatShapeASnapshotMakeAnotherVersion) {
  std::set<std::string> ids{IdOf(App(), Function())};
  const auto expect_other = [&](const char* what, const std::function<void(common::v1::FreezeSettings&)>& change) {
    EXPECT_TRUE(ids.insert(IdWith([&](auto&, auto& f) { change(*f.mutable_freeze()); })).second) << what;
  };
  expect_other("rule", [](auto& s) { s.add_rules()->set_action(common::v1::OBSTACLE_ACTION_CLOSE); });
  expect_other("other action", [](auto& s) { s.add_rules()->set_action(common::v1::OBSTACLE_ACTION_IGNORE); });
  expect_other("pattern", [](auto& s) {
    s.add_rules()->set_action(common::v1::OBSTACLE_ACTION_CLOSE);
    s.mutable_rules(0)->set_pattern("/x");
  });
  expect_other("restore-time key", [](auto& s) { s.add_restore_time_config("Y"); });
  expect_other("another restore-time key", [](auto& s) { s.add_restore_time_config("X"); });
  expect_other("a restore-time key without a value", [](auto& s) { s.add_restore_time_config("Z"); });
  expect_other("secret", [](auto& s) { s.add_secrets()->set_name("db"); });
  expect_other("its time", [](auto& s) {
    s.add_secrets()->set_name("db");
    s.mutable_secrets(0)->set_after_restore_only(true);
  });
  expect_other("cure left out", [](auto& s) { s.add_without_cures("openssl"); });
  expect_other("baseline", [](auto& s) { s.set_cpu_baseline("x86-64-v2"); });
  expect_other("engine", [](auto& s) { s.set_engine("crac"); });
}

TEST(MakeVersionTest, FreezeSettingsThatShapeNoSnapshotKeepTheVersion) {
  const auto with = [](const std::function<void(common::v1::FreezeSettings&)>& change) {
    return IdWith([&](auto&, auto& f) { change(*f.mutable_freeze()); });
  };
  const std::string id = IdOf(App(), Function());
  EXPECT_EQ(id, with([](auto&) {}));
  EXPECT_EQ(id, with([](auto& s) { s.set_accept_uncured(true); }));
  EXPECT_EQ(id, with([](auto& s) { s.add_priming()->set_body("{}"); }));
  EXPECT_EQ(id, with([](auto& s) { s.mutable_canary()->set_body("{}"); }));
}

TEST(MakeVersionTest, ARestoreTimeValueIsNeitherInTheVersionNorInItsId) {
  auto function = Function();
  function.mutable_freeze()->add_restore_time_config("X");
  function.mutable_freeze()->add_restore_time_config("Z");
  const auto spec = MakeVersion(App(), function);
  EXPECT_EQ(spec->config().count("X"), 0u);
  EXPECT_EQ(spec->config().at("Y"), "2");
  auto app = App();
  (*app.mutable_config())["X"] = "changed";
  EXPECT_EQ(IdOf(app, function), spec->version_id());
  EXPECT_EQ(RestoreTimeConfig(app, function), (std::map<std::string, std::string>{{"X", "changed"}}));
}

// Section 1.4 of the facts, the first defect: one directory for all functions of a host.
TEST(MakeVersionTest, TwoFunctionsOfOneImageNeverShareAVersion) {
  EXPECT_NE(IdOf(App(), Function()), IdWith([](auto&, auto& function) {
              function.set_id("G");
              function.set_name("fn");
            }));
}

}  // namespace
}  // namespace thaw::scheduler
