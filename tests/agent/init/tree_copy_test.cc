#include "agent/init/tree_copy.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace thaw::init {
namespace {

namespace fs = std::filesystem;

class TreeCopyTest : public testing::Test {
 protected:
  TreeCopyTest() {
    char name[] = "/tmp/tree_copy_test.XXXXXX";
    dir_ = ::mkdtemp(name);
    from_ = dir_ + "/from";
    to_ = dir_ + "/to";
    fs::create_directory(from_);
    fs::create_directory(to_);
  }
  ~TreeCopyTest() override { fs::remove_all(dir_); }

  static void Write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }
  static std::string Read(const std::string& path) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  static struct stat Stat(const std::string& path) {
    struct stat info {};
    EXPECT_EQ(::lstat(path.c_str(), &info), 0) << path;
    return info;
  }
  void Copy(const TreeCopyOptions& options = {}) {
    const Outcome outcome = CopyTree(from_, to_, options, &result_);
    EXPECT_TRUE(outcome.ok()) << outcome.message();
  }

  std::string dir_, from_, to_;
  TreeCopyResult result_;
};

TEST_F(TreeCopyTest, FilesKeepContentModeOwnerAndTimes) {
  fs::create_directories(from_ + "/a/b");
  Write(from_ + "/a/b/file", "content");
  ASSERT_EQ(::chmod((from_ + "/a/b/file").c_str(), 04751), 0);
  const timespec times[2] = {{1000, 5}, {2000, 7}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (from_ + "/a/b/file").c_str(), times, 0), 0);
  ASSERT_EQ(::chmod((from_ + "/a").c_str(), 01777), 0);
  ASSERT_EQ(::utimensat(AT_FDCWD, (from_ + "/a").c_str(), times, 0), 0);
  Copy();
  EXPECT_EQ(Read(to_ + "/a/b/file"), "content");
  const struct stat file = Stat(to_ + "/a/b/file");
  EXPECT_EQ(file.st_mode & 07777, 04751u);
  EXPECT_EQ(file.st_mtim.tv_sec, 2000);
  EXPECT_EQ(file.st_mtim.tv_nsec, 7);
  EXPECT_EQ(file.st_uid, Stat(from_ + "/a/b/file").st_uid);
  EXPECT_EQ(Stat(to_ + "/a").st_mode & 07777, 01777u);
  EXPECT_EQ(Stat(to_ + "/a").st_mtim.tv_sec, 2000);
  EXPECT_EQ(result_.bytes, 7u);
}

TEST_F(TreeCopyTest, OwnersAreKeptWhenRootCopies) {
  if (::geteuid() != 0) {
    if (std::getenv("THAW_REQUIRE_HOST") != nullptr) FAIL() << "only root can give files away";
    GTEST_SKIP() << "only root can give files away";
  }
  Write(from_ + "/file", "x");
  ASSERT_EQ(::symlink("file", (from_ + "/link").c_str()), 0);
  ASSERT_EQ(::lchown((from_ + "/file").c_str(), 1000, 1001), 0);
  ASSERT_EQ(::lchown((from_ + "/link").c_str(), 1002, 1003), 0);
  Copy();
  EXPECT_EQ(Stat(to_ + "/file").st_uid, 1000u);
  EXPECT_EQ(Stat(to_ + "/file").st_gid, 1001u);
  EXPECT_EQ(Stat(to_ + "/link").st_uid, 1002u);
  EXPECT_EQ(Stat(to_ + "/link").st_gid, 1003u);
}

TEST_F(TreeCopyTest, LinksAreCopiedAsLinksAndNeverFollowed) {
  Write(dir_ + "/secret", "secret");
  ASSERT_EQ(::symlink((dir_ + "/secret").c_str(), (from_ + "/out").c_str()), 0);
  ASSERT_EQ(::symlink("nowhere", (from_ + "/dangling").c_str()), 0);
  ASSERT_EQ(::symlink("/etc", (from_ + "/dirlink").c_str()), 0);
  Copy();
  EXPECT_EQ(fs::read_symlink(to_ + "/out"), dir_ + "/secret");
  EXPECT_EQ(fs::read_symlink(to_ + "/dangling"), "nowhere");
  EXPECT_TRUE(S_ISLNK(Stat(to_ + "/dirlink").st_mode));
  EXPECT_EQ(result_.bytes, 0u);
}

TEST_F(TreeCopyTest, HardLinksStayOneFile) {
  fs::create_directory(from_ + "/sub");
  Write(from_ + "/one", "x");
  fs::create_hard_link(from_ + "/one", from_ + "/sub/two");
  Copy();
  EXPECT_EQ(Stat(to_ + "/one").st_ino, Stat(to_ + "/sub/two").st_ino);
  EXPECT_EQ(Stat(to_ + "/one").st_nlink, 2u);
}

TEST_F(TreeCopyTest, HolesStayHoles) {
  const int fd = ::open((from_ + "/sparse").c_str(), O_WRONLY | O_CREAT, 0600);
  ASSERT_EQ(::pwrite(fd, "end", 3, 64 << 20), 3);
  ::close(fd);
  Copy();
  const struct stat info = Stat(to_ + "/sparse");
  EXPECT_EQ(info.st_size, (64 << 20) + 3);
  EXPECT_LT(info.st_blocks * 512, 1 << 20);
  EXPECT_LT(result_.bytes, 1u << 20);
  std::ifstream file(to_ + "/sparse");
  file.seekg(64 << 20);
  std::string tail;
  file >> tail;
  EXPECT_EQ(tail, "end");
}

TEST_F(TreeCopyTest, PipesAreMadeAgainAndSocketsLeftOut) {
  ASSERT_EQ(::mkfifo((from_ + "/pipe").c_str(), 0600), 0);
  ASSERT_EQ(::chmod((from_ + "/pipe").c_str(), 0622), 0);
  const int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, (from_ + "/socket").c_str());
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  Copy();
  ::close(listener);
  EXPECT_TRUE(S_ISFIFO(Stat(to_ + "/pipe").st_mode));
  EXPECT_EQ(Stat(to_ + "/pipe").st_mode & 0777, 0622u);
  EXPECT_FALSE(fs::exists(to_ + "/socket"));
  EXPECT_EQ(result_.left_out, 1u);
}

TEST_F(TreeCopyTest, SkippedNamesAreLeftOutAtTheRootOnly) {
  fs::create_directories(from_ + "/iofs");
  fs::create_directories(from_ + "/sub/iofs");
  Write(from_ + "/iofs/file", "x");
  Copy({.skip = {"iofs"}, .only_links = false});
  EXPECT_FALSE(fs::exists(to_ + "/iofs"));
  EXPECT_TRUE(fs::exists(to_ + "/sub/iofs"));
}

TEST_F(TreeCopyTest, TheTargetDirectoryItselfKeepsItsMode) {
  ASSERT_EQ(::chmod(from_.c_str(), 0711), 0);
  ASSERT_EQ(::chmod(to_.c_str(), 01777), 0);
  Copy();
  EXPECT_EQ(Stat(to_).st_mode & 07777, 01777u);
}

TEST_F(TreeCopyTest, OnlyLinksCopiesNothingElse) {
  Write(from_ + "/file", "x");
  ASSERT_EQ(::symlink("abc.sock", (from_ + "/lsnr.sock").c_str()), 0);
  Copy({.skip = {}, .only_links = true});
  EXPECT_EQ(fs::read_symlink(to_ + "/lsnr.sock"), "abc.sock");
  EXPECT_FALSE(fs::exists(to_ + "/file"));
}

TEST_F(TreeCopyTest, AReadOnlyDirectoryIsFilledBeforeItIsClosed) {
  fs::create_directory(from_ + "/closed");
  Write(from_ + "/closed/file", "x");
  ASSERT_EQ(::chmod((from_ + "/closed").c_str(), 0500), 0);
  Copy();
  EXPECT_EQ(Read(to_ + "/closed/file"), "x");
  EXPECT_EQ(Stat(to_ + "/closed").st_mode & 0777, 0500u);
}

TEST_F(TreeCopyTest, ALinkInThePlaceOfATargetFileIsReplacedNotWrittenThrough) {
  Write(dir_ + "/victim", "untouched");
  Write(from_ + "/file", "new");
  ASSERT_EQ(::symlink((dir_ + "/victim").c_str(), (to_ + "/file").c_str()), 0);
  Copy();
  EXPECT_EQ(Read(dir_ + "/victim"), "untouched");
  EXPECT_EQ(Read(to_ + "/file"), "new");
}

TEST_F(TreeCopyTest, AMissingSourceIsNotFoundAndNamed) {
  const Outcome outcome = CopyTree(dir_ + "/absent", to_, {}, &result_);
  EXPECT_EQ(outcome.code(), Code::kNotFound);
  EXPECT_NE(outcome.message().find("absent"), std::string::npos);
}

TEST(ErrnoOutcomeTest, CodesTellTheCallerWhatToDo) {
  EXPECT_EQ(ErrnoOutcome(ENOSPC, "cannot write x").code(), Code::kResourceExhausted);
  EXPECT_EQ(ErrnoOutcome(ENOENT, "cannot open x").code(), Code::kNotFound);
  EXPECT_EQ(ErrnoOutcome(EIO, "cannot read x").code(), Code::kInternal);
  EXPECT_EQ(ErrnoOutcome(EIO, "cannot read x").message(), "cannot read x: Input/output error");
}

TEST_F(TreeCopyTest, EmptyingRemovesAllButTheNamesToKeep) {
  fs::create_directories(from_ + "/keep/inner");
  fs::create_directories(from_ + "/a/keep");
  Write(from_ + "/a/keep/file", "x");
  Write(from_ + "/file", "x");
  ASSERT_EQ(::symlink(to_.c_str(), (from_ + "/link").c_str()), 0);
  Write(to_ + "/outside", "x");
  const Outcome outcome = EmptyDirectory(from_, {"keep"});
  EXPECT_TRUE(outcome.ok()) << outcome.message();
  EXPECT_TRUE(fs::exists(from_ + "/keep/inner"));
  EXPECT_FALSE(fs::exists(from_ + "/a"));
  EXPECT_FALSE(fs::exists(from_ + "/file"));
  EXPECT_FALSE(fs::is_symlink(from_ + "/link"));
  EXPECT_TRUE(fs::exists(to_ + "/outside"));
}

TEST_F(TreeCopyTest, EmptyingAnAbsentDirectoryIsNoError) { EXPECT_TRUE(EmptyDirectory(dir_ + "/absent").ok()); }

TEST_F(TreeCopyTest, TreeBytesSumsRegularFiles) {
  fs::create_directory(from_ + "/a");
  Write(from_ + "/a/x", "123");
  Write(from_ + "/y", "12345");
  ASSERT_EQ(::symlink("y", (from_ + "/link").c_str()), 0);
  EXPECT_EQ(TreeBytes(from_), 8u);
}

}  // namespace
}  // namespace thaw::init
