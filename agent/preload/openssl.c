// OpenSSL and other C libraries that keep a generator in memory and can be told to reseed it.
#include "agent/preload/shim.h"

struct Poll {
  enum Request request;
  u32 found;
  u32 failed;
};

static void CallRandPoll(void* address, void* context) {
  struct Poll* poll = context;
  ++poll->found;
  // The children of the generator that this reseeds (one for each thread) reseed at their next use.
  if (poll->request == kReseed && ((int (*)(void))address)() != 1) ++poll->failed;
}

static void CallStir(void* address, void* context) {
  struct Poll* poll = context;
  ++poll->found;
  if (poll->request == kReseed) ((void (*)(void))address)();
}

char CureOpenssl(enum Request request) {
  struct Poll poll = {request, 0, 0};
  ForEachSymbol("RAND_poll", CallRandPoll, &poll);
  ForEachSymbol("arc4random_stir", CallStir, &poll);     // libbsd
  ForEachSymbol("gnutls_rnd_refresh", CallStir, &poll);  // GnuTLS
  if (poll.failed != 0) return kFailed;
  return poll.found != 0 ? kCured : kNothing;
}
