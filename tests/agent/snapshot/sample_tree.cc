#include "tests/agent/snapshot/sample_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <vector>

#include "common/crypto/sha256.h"

namespace thaw::testing {
namespace {

void Must(bool ok, const std::string& act) {
  if (ok) return;
  std::fprintf(stderr, "test set-up failed: %s: %s\n", act.c_str(), std::strerror(errno));
  std::abort();
}

}  // namespace

void WriteFile(const std::string& path, const std::string& content) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << content;
  file.close();
  Must(file.good(), "write " + path);
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  Must(file.good(), "read " + path);
  return content.str();
}

void FlipByte(const std::string& path, std::uint64_t offset) {
  const int fd = ::open(path.c_str(), O_RDWR);
  Must(fd >= 0, "open " + path);
  char byte = 0;
  Must(::pread(fd, &byte, 1, static_cast<off_t>(offset)) == 1, "read " + path);
  byte = static_cast<char>(byte ^ 1);
  Must(::pwrite(fd, &byte, 1, static_cast<off_t>(offset)) == 1, "write " + path);
  ::close(fd);
}

std::string PageLikeBytes(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string bytes(size, '\0');
  for (std::size_t at = 0; at < size; at += 4096) {
    const std::size_t end = std::min(size, at + 1024);
    for (std::size_t i = at; i < end; ++i) bytes[i] = static_cast<char>(random());
    const std::size_t page_end = std::min(size, at + 4096);
    for (std::size_t i = end; i < page_end; ++i) bytes[i] = static_cast<char>("heap object "[i % 12] + at / 4096 % 7);
  }
  return bytes;
}

void WriteSampleTree(const std::string& dir, unsigned seed) {
  namespace fs = std::filesystem;
  fs::create_directories(dir + "/images");
  fs::create_directories(dir + "/files/tmp/empty");
  WriteFile(dir + "/images/core-1.img", "core of " + std::to_string(seed));
  // The second 256 KiB are zeros; the end is no whole chunk.
  std::string pages = PageLikeBytes(900'001, seed);
  std::fill(pages.begin() + (256 << 10), pages.begin() + (512 << 10), '\0');
  WriteFile(dir + "/images/pages-1.img", pages);
  WriteFile(dir + "/files/tmp/nothing", "");
  WriteFile(dir + "/files/tmp/tool", "#!/bin/sh\n");
  WriteFile(dir + "/files/tmp/caf\xe9", "latin-1");
  fs::create_symlink("../../somewhere/else", dir + "/files/tmp/link");
  Must(::mkfifo((dir + "/files/tmp/fifo").c_str(), 0640) == 0, "mkfifo");
  if (::geteuid() == 0) {
    for (const char* name : {"tmp", "tmp/nothing", "tmp/tool", "tmp/link", "tmp/fifo", "tmp/empty"}) {
      Must(::lchown((dir + "/files/" + name).c_str(), 1000, 1001) == 0, "chown");
    }
  }
  Must(::chmod((dir + "/files/tmp/tool").c_str(), 04755) == 0, "chmod");
  Must(::chmod((dir + "/files/tmp/empty").c_str(), 0) == 0, "chmod");
  Must(::chmod((dir + "/files/tmp").c_str(), 01777) == 0, "chmod");
  // Children first, so that parents keep theirs.
  long seconds = 1'600'000'000;
  for (const char* name : {"files/tmp/nothing", "files/tmp/link", "files/tmp/fifo", "files/tmp/empty", "files/tmp/tool",
                           "files/tmp", "images/pages-1.img", "images"}) {
    const struct timespec times[2] = {{seconds, 123456789}, {seconds, 123456789}};
    Must(::utimensat(AT_FDCWD, (dir + "/" + name).c_str(), times, AT_SYMLINK_NOFOLLOW) == 0, "utimensat");
    ++seconds;
  }
}

std::string DescribeTree(const std::string& dir) {
  namespace fs = std::filesystem;
  std::vector<std::string> paths;
  for (const auto& entry : fs::recursive_directory_iterator(dir)) paths.push_back(entry.path().string());
  std::sort(paths.begin(), paths.end());
  std::ostringstream text;
  for (const std::string& path : paths) {
    struct stat info {};
    Must(::lstat(path.c_str(), &info) == 0, "stat " + path);
    text << path.substr(dir.size()) << " " << std::oct << info.st_mode << std::dec << " " << info.st_uid << ":"
         << info.st_gid << " " << info.st_mtim.tv_sec << "." << info.st_mtim.tv_nsec;
    if (S_ISREG(info.st_mode)) text << " " << info.st_size << " " << Sha256Hex(ReadFile(path));
    if (S_ISLNK(info.st_mode)) text << " -> " << fs::read_symlink(path).string();
    text << "\n";
  }
  return text.str();
}

std::uint64_t TreeBytes(const std::string& dir) {
  std::uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir)) {
    struct stat info {};
    Must(::lstat(entry.path().c_str(), &info) == 0, "stat");
    if (S_ISREG(info.st_mode)) bytes += static_cast<std::uint64_t>(info.st_size);
  }
  return bytes;
}

agent::v1::Manifest DraftManifest(const std::string& version) {
  agent::v1::Manifest draft;
  auto* info = draft.mutable_info();
  info->set_version_id(version);
  info->set_function_id("01FUNCTION");
  info->set_function_name("hello");
  info->set_app_name("demo");
  info->set_node_id("a");
  info->mutable_created_at()->set_seconds(1'790'000'000);
  info->set_engine("criu 4.1.1");
  info->set_architecture("x86_64");
  info->set_invocations(5);
  draft.set_stdout_pipe("pipe:[1]");
  draft.set_stderr_pipe("pipe:[2]");
  draft.set_uid(1000);
  draft.set_gid(1000);
  draft.set_criu_version("4.1.1");
  draft.set_kernel("6.1.0");
  return draft;
}

}  // namespace thaw::testing
