#ifndef THAW_TESTS_FUNCTIONS_NATIVE_SOCKETS_H_
#define THAW_TESTS_FUNCTIONS_NATIVE_SOCKETS_H_

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

namespace thaw::testing {

// Listens as Fn's contract asks: `name` in /tmp/iofs, and lsnr.sock, a link to it.
inline int ListenInIofs(const std::string& name) {
  const std::string path = "/tmp/iofs/" + name;
  const char* const link = "/tmp/iofs/lsnr.sock";
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  unlink(path.c_str());
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(fd, 16) != 0) abort();
  chmod(path.c_str(), 0666);
  unlink(link);
  if (symlink(name.c_str(), link) != 0) abort();
  return fd;
}

// Both ends of one TCP connection, and its listener.
struct TcpToItself {
  int listener;
  int client;
  int accepted;
};
inline TcpToItself ConnectToItself() {
  TcpToItself made{};
  made.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(made.listener, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(made.listener, 1) != 0) abort();
  getsockname(made.listener, reinterpret_cast<sockaddr*>(&address), &size);
  made.client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(made.client, reinterpret_cast<sockaddr*>(&address), size) != 0) abort();
  made.accepted = accept4(made.listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (made.accepted < 0) abort();
  return made;
}

}  // namespace thaw::testing

#endif  // THAW_TESTS_FUNCTIONS_NATIVE_SOCKETS_H_
