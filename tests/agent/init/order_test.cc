#include "agent/init/order.h"

#include <gtest/gtest.h>

#include <csignal>

namespace thaw::init {
namespace {

Order Parsed(std::string_view line) {
  Order order;
  const Outcome outcome = ParseOrder(line, &order);
  EXPECT_TRUE(outcome.ok()) << outcome.message();
  return order;
}

Outcome Failed(std::string_view line) {
  Order order;
  return ParseOrder(line, &order);
}

TEST(OrderTest, StartReadsEveryField) {
  const Order order = Parsed(
      R"({"id":7,"op":"start","argv":["java","-version"],"env":{"A":"1","B":"x=y"},"cwd":"/function",)"
      R"("uid":1001,"gid":1002,"instance":"i-1","meta":"{\"v\":1}"})");
  EXPECT_EQ(order.id, 7u);
  const auto& start = std::get<StartOrder>(order.what);
  EXPECT_EQ(start.argv, (std::vector<std::string>{"java", "-version"}));
  EXPECT_EQ(start.env, (std::vector<std::string>{"A=1", "B=x=y"}));
  EXPECT_EQ(start.cwd, "/function");
  EXPECT_EQ(start.uid, 1001u);
  EXPECT_EQ(start.gid, 1002u);
  EXPECT_EQ(start.instance, "i-1");
  EXPECT_EQ(start.meta, R"({"v":1})");
}

TEST(OrderTest, StartWithoutArgvNamesTheField) {
  const Outcome outcome = Failed(R"({"id":7,"op":"start"})");
  EXPECT_EQ(outcome.code(), Code::kInvalidArgument);
  EXPECT_NE(outcome.message().find("argv"), std::string::npos);
}

TEST(OrderTest, WrongTypesAreRefusedNotThrown) {
  EXPECT_EQ(Failed(R"({"id":1,"op":"start","argv":"java"})").code(), Code::kInvalidArgument);
  EXPECT_EQ(Failed(R"({"id":1,"op":"start","argv":[1]})").code(), Code::kInvalidArgument);
  EXPECT_EQ(Failed(R"({"id":1,"op":"start","argv":["a\u0000b"]})").code(), Code::kInvalidArgument);
  EXPECT_EQ(Failed(R"({"id":1,"op":"start","argv":["a"],"env":{"A":1}})").code(), Code::kInvalidArgument);
  EXPECT_EQ(Failed(R"({"id":1,"op":"start","argv":["a"],"env":{"A=B":"1"}})").code(), Code::kInvalidArgument);
  EXPECT_EQ(Failed(R"({"id":1,"op":"start","argv":["a"],"uid":-1})").code(), Code::kInvalidArgument);
  EXPECT_EQ(Failed(R"({"id":1,"op":"start","argv":["a"],"uid":4294967295})").code(), Code::kInvalidArgument);
  EXPECT_EQ(Failed(R"({"id":1,"op":"start","argv":["a"],"uid":1.5})").code(), Code::kInvalidArgument);
  EXPECT_EQ(Failed(R"({"id":1,"op":"start","argv":["a"],"cwd":"tmp"})").code(), Code::kInvalidArgument);
  EXPECT_EQ(Failed(R"({"id":1,"op":"start","argv":["a"],"instance":"a b"})").code(), Code::kInvalidArgument);
  EXPECT_EQ(Failed(R"({"id":1,"op":7})").code(), Code::kInvalidArgument);
  EXPECT_EQ(Failed(R"({"id":1,"op":"fly"})").code(), Code::kInvalidArgument);
  EXPECT_EQ(Failed(R"({"op":"status"})").code(), Code::kInvalidArgument);
  EXPECT_EQ(Failed(R"([1])").code(), Code::kInvalidArgument);
  EXPECT_EQ(Failed(R"({"id":)").code(), Code::kInvalidArgument);
  EXPECT_EQ(Failed("\xff\xfe").code(), Code::kInvalidArgument);
}

TEST(OrderTest, AFaultyOrderKeepsItsIdForTheAnswer) {
  Order order;
  EXPECT_FALSE(ParseOrder(R"({"id":42,"op":"fly"})", &order).ok());
  EXPECT_EQ(order.id, 42u);
}

TEST(OrderTest, DumpNeedsADirectoryBelowCracdata) {
  const Order order = Parsed(R"({"id":1,"op":"dump","dir":"/cracdata/dump-1/","leave_running":true,"timeout_ms":500})");
  EXPECT_EQ(std::get<DumpOrder>(order.what).dir, "/cracdata/dump-1");
  EXPECT_TRUE(std::get<DumpOrder>(order.what).leave_running);
  EXPECT_EQ(std::get<DumpOrder>(order.what).timeout_ms, 500);
  for (const char* dir : {"/cracdata", "/cracdata/", "/cracdata/../etc", "/cracdata/./x", "/cracdata//x", "/tmp/x",
                          "cracdata/x", "/cracdatax/y", ""}) {
    const std::string line = std::string(R"({"id":1,"op":"dump","timeout_ms":5,"dir":")") + dir + "\"}";
    EXPECT_EQ(Failed(line).code(), Code::kInvalidArgument) << dir;
  }
}

TEST(OrderTest, DumpWithoutATimeLimitIsRefused) {
  EXPECT_EQ(Failed(R"({"id":1,"op":"dump","dir":"/cracdata/x"})").code(), Code::kInvalidArgument);
  EXPECT_EQ(Failed(R"({"id":1,"op":"dump","dir":"/cracdata/x","timeout_ms":0})").code(), Code::kInvalidArgument);
}

TEST(OrderTest, RestoreChecksPipeAndMarkerNames) {
  const std::string head = R"({"id":1,"op":"restore","dir":"/cracdata/x","timeout_ms":5,)";
  const Order order = Parsed(head + R"("stdout_pipe":"pipe:[12]","stderr_pipe":"","resume":"resume-0af9"})");
  EXPECT_EQ(std::get<RestoreOrder>(order.what).stdout_pipe, "pipe:[12]");
  EXPECT_EQ(std::get<RestoreOrder>(order.what).resume, "resume-0af9");
  EXPECT_EQ(Failed(head + R"("stdout_pipe":"pipe:[1x]"})").code(), Code::kInvalidArgument);
  EXPECT_EQ(Failed(head + R"("stdout_pipe":"/etc/passwd"})").code(), Code::kInvalidArgument);
  EXPECT_EQ(Failed(head + R"("resume":"../x"})").code(), Code::kInvalidArgument);
  EXPECT_EQ(Failed(head + R"("resume":"resume-../x"})").code(), Code::kInvalidArgument);
}

TEST(OrderTest, ReasonsForTheFunctionAreCutToFourKibibytes) {
  EXPECT_EQ(std::get<ResumeOrder>(Parsed(R"({"id":1,"op":"resume"})").what).error, "");
  EXPECT_EQ(std::get<ResumeOrder>(Parsed(R"({"id":1,"op":"resume","error":"no room"})").what).error, "no room");
  EXPECT_EQ(std::get<RefuseOrder>(Parsed(R"({"id":1,"op":"refuse","error":"never"})").what).error, "never");
  EXPECT_EQ(Failed(R"({"id":1,"op":"refuse"})").code(), Code::kInvalidArgument);
  const std::string line = R"({"id":1,"op":"refuse","error":")" + std::string(5000, 'x') + "\"}";
  EXPECT_EQ(std::get<RefuseOrder>(Parsed(line).what).error.size(), 4096u);
}

TEST(OrderTest, KillTakesNamesAndNumbers) {
  EXPECT_EQ(std::get<KillOrder>(Parsed(R"({"id":1,"op":"kill","signal":"SIGTERM","grace_ms":9})").what).signal, SIGTERM);
  EXPECT_EQ(std::get<KillOrder>(Parsed(R"({"id":1,"op":"kill","signal":"KILL"})").what).signal, SIGKILL);
  EXPECT_EQ(std::get<KillOrder>(Parsed(R"({"id":1,"op":"kill","signal":2})").what).signal, SIGINT);
  EXPECT_EQ(std::get<KillOrder>(Parsed(R"({"id":1,"op":"kill"})").what).signal, SIGTERM);
  EXPECT_EQ(Failed(R"({"id":1,"op":"kill","signal":"NOPE"})").code(), Code::kInvalidArgument);
  EXPECT_EQ(Failed(R"({"id":1,"op":"kill","signal":0})").code(), Code::kInvalidArgument);
  EXPECT_EQ(Failed(R"({"id":1,"op":"kill","signal":-9})").code(), Code::kInvalidArgument);
  EXPECT_EQ(Failed(R"({"id":1,"op":"kill","signal":4096})").code(), Code::kInvalidArgument);
}

TEST(OrderTest, MarkerNamesAreValidAndNeverTheSame) {
  const std::string first = MakeMarkerName();
  EXPECT_TRUE(IsMarkerName(first)) << first;
  EXPECT_NE(first, MakeMarkerName());
}

}  // namespace
}  // namespace thaw::init
