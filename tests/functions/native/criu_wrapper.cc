// Stands before CRIU in the slots of the fault tests (Cluster::Options::criu_wrapper): does what
// /cracdata/criu-fault says, `dump|restore fail|hang`, and says in /cracdata/criu-fault.fired that it did. Without such a
// file, and for what it does not name, it is CRIU. Not a shell script: a shell drops the effective uid.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

namespace {
constexpr char kCriu[] = "/thaw/criu/criu.real";
constexpr char kFault[] = "/cracdata/criu-fault";
constexpr char kFired[] = "/cracdata/criu-fault.fired";
}  // namespace

int main(int argc, char** argv) {
  char verb[16] = "", how[16] = "";
  if (FILE* fault = fopen(kFault, "r"); fault != nullptr) {
    if (fscanf(fault, "%15s %15s", verb, how) != 2) verb[0] = 0;
    fclose(fault);
  }
  if (argc > 1 && strcmp(argv[1], verb) == 0) {
    const int fired = open(kFired, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dprintf(fired, "%s %s\n", verb, how);
    close(fired);
    if (strcmp(how, "hang") == 0) {
      while (true) pause();
    }
    fprintf(stderr, "(00.000001) Error (test.c:1): %s fails on demand\n", verb);
    return 1;
  }
  execv(kCriu, argv);
  perror(kCriu);
  return 127;
}
