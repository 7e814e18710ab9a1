// getrandom() and arc4random(), as the C library gives them.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

extern void arc4random_buf(void* buffer, size_t size) __attribute__((weak));

static void Print(FILE* to, const char* source, const unsigned char* bytes) {
  fprintf(to, "%s ", source);
  for (int i = 0; i < 16; ++i) fprintf(to, "%02x", bytes[i]);
  fputc('\n', to);
}

int main(void) {
  unsigned char bytes[16];
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, "/tmp/iofs/draw.sock");
  if (bind(listener, (struct sockaddr*)&address, sizeof address) != 0 || listen(listener, 8) != 0) return 1;
  // So that the library has state to keep.
  if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) return 1;
  if (arc4random_buf != NULL) arc4random_buf(bytes, sizeof bytes);
  if (symlink("draw.sock", "/tmp/iofs/lsnr.sock") != 0) return 1;
  while (1) {
    const int peer = accept(listener, NULL, NULL);
    if (peer < 0) return 1;
    FILE* stream = fdopen(peer, "r+");
    char line[64];
    const int count = fgets(line, sizeof line, stream) != NULL ? atoi(line) : 0;
    for (int i = 0; i < count; ++i) {
      if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) return 1;
      Print(stream, "getrandom", bytes);
      if (arc4random_buf == NULL) continue;
      arc4random_buf(bytes, sizeof bytes);
      Print(stream, "arc4random", bytes);
    }
    fclose(stream);
  }
}
