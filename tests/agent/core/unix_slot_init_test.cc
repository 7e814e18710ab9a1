#include "agent/instance/unix_slot_init.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace thaw::agent {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(10);
constexpr char kWish[] = R"({"event":"checkpoint_wished","instance":"i1","pid":7})";

// The other end of the socket: reads orders and says lines. An answer to an order comes after all that was
// said before, so that a test knows by it what the agent's end has read.
class InitEnd {
 public:
  InitEnd() {
    char pattern[] = "/tmp/thaw-init-XXXXXX";
    dir_ = mkdtemp(pattern);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = dir_ + "/init.sock";
    memcpy(address.sun_path, path.data(), path.size());
    listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(listener_, 1), 0);
  }
  ~InitEnd() {
    if (connection_ >= 0) close(connection_);
    close(listener_);
    std::filesystem::remove_all(dir_);
  }

  const std::string& dir() const { return dir_; }
  void Accept() { connection_ = accept(listener_, nullptr, nullptr); }
  void Say(const std::string& line) {
    const std::string bytes = line + "\n";
    EXPECT_EQ(send(connection_, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  // The next order, answered with OK.
  void Answer() {
    std::string line;
    char byte;
    while (recv(connection_, &byte, 1, 0) == 1 && byte != '\n') line += byte;
    const std::size_t id = line.find("\"id\":");
    ASSERT_NE(id, std::string::npos) << line;
    Say(absl::StrCat(R"({"ok":true,"id":)", std::strtoull(line.c_str() + id + 5, nullptr, 10), "}"));
  }

 private:
  std::string dir_;
  int listener_ = -1;
  int connection_ = -1;
};

class UnixSlotInitTest : public ::testing::Test {
 protected:
  UnixSlotInitTest() {
    std::thread other([this] {
      end_.Accept();
      end_.Answer();
    });
    auto connected = connector_.Connect(end_.dir(), absl::Now() + kLimit);
    other.join();
    EXPECT_TRUE(connected.ok()) << connected.status();
    init_ = *std::move(connected);
  }

  // An order that the other end answers; returns when all that it said before has been read.
  void Roundtrip(absl::AnyInvocable<absl::Status()> order) {
    std::thread other([this] { end_.Answer(); });
    EXPECT_TRUE(order().ok());
    other.join();
  }
  void AwaitAllRead() {
    Roundtrip([this] { return init_->GetStatus(kLimit).status(); });
  }
  void Listen() {
    init_->SetEventHandler([this](const InitEvent& event) { heard_.push_back(event); });
  }

  InitEnd end_;
  UnixSlotInitConnector connector_;
  std::vector<InitEvent> heard_;
  std::unique_ptr<SlotInit> init_;
};

TEST_F(UnixSlotInitTest, WishThatNobodyHeardIsToldToTheNextWhoListens) {
  end_.Say(kWish);
  AwaitAllRead();
  Listen();
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_EQ(heard_[0].kind, InitEvent::Kind::kCheckpointWished);
  EXPECT_EQ(heard_[0].instance_id, "i1");
  init_->SetEventHandler(nullptr);
  Listen();
  EXPECT_EQ(heard_.size(), 1u) << "told once";
}

TEST_F(UnixSlotInitTest, WishOfAFunctionThatHasEndedIsForgotten) {
  end_.Say(kWish);
  Roundtrip([this] { return init_->Reset(kLimit); });
  Listen();
  EXPECT_TRUE(heard_.empty()) << "the slot was emptied";
  init_->SetEventHandler(nullptr);
  end_.Say(kWish);
  end_.Say(R"({"event":"exit","instance":"i1","pid":7,"code":1})");
  AwaitAllRead();
  Listen();
  EXPECT_TRUE(heard_.empty()) << "it has exited";
}

}  // namespace
}  // namespace thaw::agent
