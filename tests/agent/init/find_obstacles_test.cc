// Looks at recorded texts of /proc.
#include "agent/init/obstacles/find_obstacles.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "agent/init/obstacles/proc_texts.h"

namespace thaw::init {
namespace {

// A container of the profile `checkpoint`, as Docker makes it, with one volume.
constexpr char kMounts[] =
    "1521 1186 0:412 / / ro,relatime master:441 - overlay overlay ro,lowerdir=/l,upperdir=/u,workdir=/w\n"
    "1522 1521 0:415 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw\n"
    "1523 1521 0:416 / /dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755\n"
    "1524 1523 0:417 / /dev/pts rw,nosuid,noexec,relatime - devpts devpts rw,gid=5\n"
    "1525 1521 0:418 / /sys ro,nosuid,nodev,noexec,relatime - sysfs sysfs ro\n"
    "1526 1525 0:29 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw\n"
    "1527 1523 0:414 / /dev/mqueue rw,nosuid,nodev,noexec,relatime - mqueue mqueue rw\n"
    "1528 1523 0:419 / /dev/shm rw,nosuid,nodev,noexec,relatime - tmpfs shm rw,size=65536k\n"
    "1529 1521 0:420 / /run rw,nosuid,nodev,relatime - tmpfs tmpfs rw,mode=755\n"
    "1530 1521 0:421 / /tmp rw,nosuid,nodev,relatime - tmpfs tmpfs rw\n"
    "1531 1530 254:0 /x/iofs /tmp/iofs rw,relatime - ext4 /dev/vda rw\n"
    "1532 1521 254:0 /x/hosts /etc/hosts ro,relatime - ext4 /dev/vda rw\n"
    "1533 1521 254:0 /x/init /thaw ro,relatime - ext4 /dev/vda rw\n"
    "1534 1521 254:0 /x/my\\040data /my\\040data rw,relatime - ext4 /dev/vda rw\n";
constexpr char kTcp[] =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    "   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 501 1 0 100 0 0 10 0\n"
    "   1: 0200000A:A03E 0700000A:1538 01 00000000:00000000 00:00000000 00000000  1000        0 502 1 0 20 4 30 10 -1\n";
constexpr char kTcp6[] =
    "  sl  local_address                         remote_address                        st ...\n"
    "   0: 00000000000000000000000001000000:1F90 00000000000000000000000001000000:D431 01 00000000:00000000 "
    "00:00000000 00000000  1000        0 503 1 0 20 4 30 10 -1\n"
    "   1: 0000000000000000FFFF00000200000A:1F91 0000000000000000FFFF00000700000A:1538 01 00000000:00000000 "
    "00:00000000 00000000  1000        0 504 1 0 20 4 30 10 -1\n";
constexpr char kUdp[] =
    "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
    " 1161: 0100007F:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 601 2 0 0\n";

SystemView View() {
  SystemView view;
  view.mounts = kMounts;
  view.tcp = kTcp;
  view.tcp6 = kTcp6;
  view.udp = kUdp;
  view.kernel_release = "6.18.44-x";
  view.criu_version = "4.1.1";
  view.find_inode = [](const std::string&, uint64_t, uint64_t) { return std::string(); };
  ProcessView process;
  process.pid = 10001;
  process.working_dir = "/function";
  view.processes.push_back(process);
  return view;
}

std::string Info(int mount_id, const char* flags = "0100000", const std::string& more = "") {
  return "pos:\t7\nflags:\t" + std::string(flags) + "\nmnt_id:\t" + std::to_string(mount_id) + "\nino:\t42\n" + more;
}

OpenFile File(int fd, const std::string& target, const std::string& info, uint32_t mode = S_IFREG, uint64_t links = 1) {
  OpenFile file;
  file.fd = fd;
  file.target = target;
  file.info = info;
  file.mode = mode;
  file.links = links;
  file.inode = 1000 + static_cast<uint64_t>(fd);
  return file;
}

OpenFile Socket(int fd, uint64_t inode, const std::string& protocol) {
  OpenFile file = File(fd, "socket:[" + std::to_string(inode) + "]", Info(9), S_IFSOCK);
  file.protocol = protocol;
  file.inode = inode;
  return file;
}

std::vector<Finding> Found(SystemView view, std::vector<OpenFile> files, Serving serving = Serving::kNo) {
  view.processes[0].files = std::move(files);
  return FindObstacles(view, serving);
}

std::string Text(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings) {
    if (!text.empty()) text += "; ";
    text += std::string(ObstacleName(finding.kind)) + " " + std::to_string(finding.fd) + " " + finding.what;
    EXPECT_NE(finding.remedy, "") << text;
    EXPECT_EQ(finding.pid, 10001);
  }
  return text;
}

TEST(FindObstaclesTest, WhatCriuHandlesIsNoObstacle) {
  OpenFile null = File(0, "/dev/null", Info(1523), S_IFCHR);
  null.device_major = 1;
  null.device_minor = 3;
  SystemView view = View();
  view.processes[0].maps =
      "00400000-00401000 r-xp 00000000 00:19c 99                               /function/app\n"
      "7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n"
      "7f0000002000-7f0000003000 rw-s 00000000 00:01 7                          /dev/zero (deleted)\n"
      "7f0000004000-7f0000005000 rw-s 00000000 00:01 7                          /memfd:jit (deleted)\n"
      "7f0000006000-7f0000007000 r-xp 00000000 00:1a5 7                         /tmp/libx.so\n"
      "7f0000008000-7f0000009000 r-xp 00000000 fe:00 7                          /thaw/preload/cure.so\n"
      "7ffd00000000-7ffd00001000 r-xp 00000000 00:00 0                          [vdso]\n";
  EXPECT_EQ(Text(Found(view, {null, File(1, "pipe:[77]", Info(10, "01"), S_IFIFO), File(3, "/function/app.jar", Info(1521)),
                              File(4, "/tmp/log", Info(1530, "0100002")), File(5, "/tmp/gone (deleted)", Info(1530), S_IFREG, 0),
                              File(6, "/dev/shm/x", Info(1528, "0100002")), File(7, "/proc/10001/status", Info(1522)),
                              File(8, "/sys/fs/cgroup/cpu.max", Info(1526)), File(9, "/memfd:x (deleted)", Info(3), S_IFREG, 0),
                              File(10, "anon_inode:[eventfd]", Info(11)), File(11, "/thaw/init", Info(1533))})),
            "");
}

TEST(FindObstaclesTest, FilesOfOtherMountsAreNamed) {
  EXPECT_EQ(Text(Found(View(), {File(3, "/my data/a.db", Info(1534)), File(4, "/run/x", Info(1529)),
                                File(5, "/etc/hosts", Info(1532)), File(6, "/tmp/iofs/file", Info(1531)),
                                File(7, "/queue", Info(8888))})),
            "file 3 /my data/a.db; file 4 /run/x; file 5 /etc/hosts; file 6 /tmp/iofs/file; file 7 /queue");
}

TEST(FindObstaclesTest, AFileOfAWritableImageThatIsWrittenIsAnObstacle) {
  SystemView view = View();
  view.mounts.replace(view.mounts.find("ro,relatime master"), 2, "rw");
  EXPECT_EQ(Text(Found(view, {File(3, "/var/log/app.log", Info(1521, "0102001")), File(4, "/etc/passwd", Info(1521))})),
            "file 3 /var/log/app.log");
}

TEST(FindObstaclesTest, DeletedFilesTravelOnlyBelowTmpAndUpToTheGhostLimit) {
  OpenFile large = File(4, "/tmp/large (deleted)", Info(1530), S_IFREG, 0);
  large.size = 257ull << 20;
  EXPECT_EQ(Text(Found(View(), {File(3, "/my data/x (deleted)", Info(1534), S_IFREG, 0), large})),
            "deleted_file 3 /my data/x; deleted_file 4 /tmp/large");
}

TEST(FindObstaclesTest, TcpConnectionsHaveTheirPeers) {
  EXPECT_EQ(Text(Found(View(), {Socket(3, 502, "TCP"), Socket(4, 503, "TCPv6"), Socket(5, 504, "TCPv6")})),
            "tcp 3 10.0.0.2:41022 -> 10.0.0.7:5432; tcp 4 [::1]:8080 -> [::1]:54321; "
            "tcp 5 10.0.0.2:8081 -> 10.0.0.7:5432");
}

TEST(FindObstaclesTest, ListenersAndUdpAreObstaclesOnlyToAnOldCriuOnANewKernel) {
  const std::vector<OpenFile> files = {Socket(3, 501, "TCP"), Socket(4, 601, "UDP"), Socket(5, 700, "TCP"), Socket(6, 701, "UDP")};
  SystemView view = View();
  EXPECT_EQ(Text(Found(view, files)),
            "tcp 3 listens on 0.0.0.0:8080; udp 4 127.0.0.1:5353; tcp 5 a socket that is not connected; "
            "udp 6 a socket that is not bound");
  view.criu_version = "4.2";
  EXPECT_EQ(Text(Found(view, files)), "");
  view.criu_version = "4.1.1";
  view.kernel_release = "6.15.2";
  EXPECT_EQ(Text(Found(view, files)), "");
}

TEST(FindObstaclesTest, UnixSocketsAreObstaclesWhenTheirOtherEndIsOutside) {
  SystemView view = View();
  view.unix_sockets = {{801, {.peer = 802, .name = ""}},
                       {802, {.peer = 801, .name = "/tmp/inner"}},
                       {803, {.peer = 900, .name = ""}},
                       {900, {.peer = 803, .name = "/run/postgresql/.s.PGSQL.5432"}},
                       {804, {.peer = 0, .listening = true, .name = "/tmp/iofs/lsnr.sock"}},
                       {805, {.peer = 0, .name = ""}}};
  EXPECT_EQ(Text(Found(view, {Socket(3, 801, "UNIX-STREAM"), Socket(4, 802, "UNIX-STREAM"), Socket(5, 803, "UNIX-STREAM"),
                              Socket(6, 804, "UNIX-STREAM"), Socket(7, 805, "UNIX-STREAM")})),
            "unix 5 /run/postgresql/.s.PGSQL.5432");
}

TEST(FindObstaclesTest, AConnectionOfTheAgentIsNoObstacleWhileTheFunctionServes) {
  // Accepted from another network namespace: sock_diag does not show it.
  const std::vector<OpenFile> files = {Socket(3, 999, "UNIX-STREAM")};
  EXPECT_EQ(Text(Found(View(), files, Serving::kYes)), "");
  EXPECT_EQ(Text(Found(View(), files, Serving::kNo)), "unix 3 a connection accepted from outside the container");
}

TEST(FindObstaclesTest, AnEpollThatWatchesADescriptorOfTheProcessIsNone) {
  const std::string watches = "tfd:        5 events:       19 data:                5  pos:0 ino:3ed sdev:e\n";
  const OpenFile epoll = File(4, "anon_inode:[eventpoll]", Info(11, "02", watches));
  EXPECT_EQ(Text(Found(View(), {epoll, File(5, "pipe:[1005]", Info(10))})), "");
  EXPECT_EQ(Text(Found(View(), {epoll})), "epoll 4 watches descriptor 5, which is closed here or another process's");
}

TEST(FindObstaclesTest, RingsDevicesAndSharedMemory) {
  OpenFile device = File(3, "/dev/fuse", Info(1523), S_IFCHR);
  device.device_major = 10;
  device.device_minor = 229;
  SystemView view = View();
  view.processes[0].maps = "7f0000000000-7f0000001000 rw-s 00000000 00:01 98304                      /SYSV0000162e (deleted)\n";
  EXPECT_EQ(Text(Found(view, {device, File(4, "anon_inode:[io_uring]", Info(11))})),
            "device 3 /dev/fuse; io_uring 4 io_uring; shared_memory -1 a System V segment, SYSV0000162e");
}

TEST(FindObstaclesTest, MappingsAndWorkingDirectoryOfOtherMounts) {
  SystemView view = View();
  view.processes[0].working_dir = "/my data";
  view.processes[0].maps =
      "7f0000000000-7f0000001000 r--s 00000000 fe:00 7                          /my data/index\n"
      "7f0000001000-7f0000002000 r--s 00001000 fe:00 7                          /my data/index\n";
  EXPECT_EQ(Text(Found(view, {})), "file -1 /my data/index (mapped); file -1 the working directory /my data");
}

TEST(FindObstaclesTest, APipeThatSomebodyOutsideHolds) {
  SystemView view = View();
  view.pipes_outside = {"pipe:[5]"};
  EXPECT_EQ(Text(Found(view, {File(3, "pipe:[5]", Info(10), S_IFIFO), File(4, "pipe:[6]", Info(10), S_IFIFO)})),
            "pipe 3 pipe:[5]");
}

TEST(FindObstaclesTest, InotifyWatchesAreKeptOnlyWhereCriuLooks) {
  // 0:421 is /tmp, 0:412 the image, 254:0 a volume.
  const auto watch = [](int fd, const char* device) {
    return File(fd, "anon_inode:inotify",
                Info(11, "00", std::string("inotify wd:1 ino:2a sdev:") + device + " mask:100 ignored_mask:0\n"));
  };
  SystemView view = View();
  view.find_inode = [](const std::string& dir, uint64_t, uint64_t inode) -> std::string {
    EXPECT_EQ(inode, 42u);
    return dir == "/my data" ? "/my data/inbox" : "";
  };
  EXPECT_EQ(Text(Found(view, {watch(3, "1a5"), watch(4, "19c"), watch(5, "fe00000")})),
            "inotify 4 inode 42; inotify 5 /my data/inbox");
  view.find_inode = [](const std::string& dir, uint64_t, uint64_t) { return dir == "/function" ? dir : ""; };
  EXPECT_EQ(Text(Found(view, {watch(4, "19c")})), "");
}

TEST(FindObstaclesTest, ATracedProcessCanNotBeDumped) {
  SystemView view = View();
  view.processes[0].tracer = 77;
  EXPECT_EQ(Text(Found(view, {})), "other -1 traced by process 77");
}

TEST(FindObstaclesTest, JsonHasTheProtocolsNames) {
  const nlohmann::json json = ToJson(Found(View(), {Socket(3, 502, "TCP")}));
  ASSERT_EQ(json.size(), 1u);
  EXPECT_EQ(json[0]["kind"], "tcp");
  EXPECT_EQ(json[0]["fd"], 3);
  EXPECT_EQ(json[0]["pid"], 10001);
  EXPECT_EQ(json[0]["what"], "10.0.0.2:41022 -> 10.0.0.7:5432");
}

TEST(ProcTextsTest, CutTextsAreLeftOutNotGuessed) {
  for (size_t size = 0; size < sizeof kMounts; size += 7) ParseMounts(std::string_view(kMounts, size));
  for (size_t size = 0; size < sizeof kTcp; size += 3) ParseInetSockets(std::string_view(kTcp, size), false);
  EXPECT_TRUE(ParseInetSockets("x y z", false).empty());
  EXPECT_EQ(ParseDescriptorInfo("pos:\nflags:\tx\n").position, 0);
  EXPECT_TRUE(ParseMappings("7f-8f r--p\n").empty());
}

TEST(ProcTextsTest, ThePathsMountIsTheLongestPointAboveIt) {
  const std::vector<Mount> mounts = ParseMounts(kMounts);
  EXPECT_EQ(MountOfPath(mounts, "/tmp/iofs/x")->point, "/tmp/iofs");
  EXPECT_EQ(MountOfPath(mounts, "/tmpx")->point, "/");
  EXPECT_EQ(MountOfPath(mounts, "/my data/x")->point, "/my data");
}

}  // namespace
}  // namespace thaw::init
