// The shim's thread, and how thaw-init talks to it.
//
// Each process that has the shim runs one more thread, asleep until init sends it a real-time signal, which only this
// thread takes (it is directed at the thread, and blocked in it). The signal's value says what is asked; the answer is the
// thread's own name, which init reads in /proc: `thaw-u GGGGopnj`, G the request's number in hex, then one letter (enum
// Report) each for OpenSSL and its like, Python, Node and Java. No descriptor, no file, no memory is shared, so CRIU dumps
// and restores it all with the process, and whoever forges an answer forges his own.
#include "agent/preload/shim.h"

#if defined(__x86_64__)
enum { kSigprocmask = 14, kSchedYield = 24, kSigtimedwait = 128, kPrctl = 157 };
#elif defined(__aarch64__)
enum { kSchedYield = 124, kSigprocmask = 135, kSigtimedwait = 137, kPrctl = 167 };
#endif

enum { kMostYields = 100000 };
enum { kSignal = 61, kSetMask = 2, kSetName = 15, kSignalBytes = 8, kFromQueue = -1 };

typedef unsigned long Mask;

struct SignalInfo {
  i32 number;
  i32 error;
  i32 code;
  i32 padding;
  i32 pid;
  i32 uid;
  u32 value;
  u8 rest[128 - 28];
};

extern int pthread_create(unsigned long*, const void*, void* (*)(void*), void*) __attribute__((weak));
extern int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void*) __attribute__((weak));
extern int pthread_atfork(void (*)(void), void (*)(void), void (*)(void)) __attribute__((weak));

static void SetMask(Mask mask, Mask* old) {
  SystemCall(kSigprocmask, kSetMask, (long)&mask, (long)old, kSignalBytes, 0);
}

// Everything but what a fault of this thread's own raises: handlers of the function must not run here.
static Mask AllButFaults(void) {
  Mask mask = ~0ul;
  const int faults[] = {4, 5, 7, 8, 11};  // SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV
  for (u32 i = 0; i < sizeof faults / sizeof faults[0]; ++i) mask &= ~(1ul << (faults[i] - 1));
  return mask;
}

static void Tell(u32 number, const char letters[4]) {
  char name[16] = "thaw-u ";
  for (u32 i = 0; i < 4; ++i) {
    const u32 digit = (number >> (4 * (3 - i))) & 15;
    name[7 + i] = (char)(digit < 10 ? '0' + digit : 'a' + digit - 10);
    name[11 + i] = letters[i];
  }
  name[15] = '\0';
  SystemCall(kPrctl, kSetName, (long)name, 0, 0, 0);
}

// Set by the thread once it has its name.
static int watching;

static void* Watch(void* unused) {
  (void)unused;
  static char (*const kCures[])(enum Request) = {CureOpenssl, CurePython, CureNode, CureJava};
  const Mask wanted = 1ul << (kSignal - 1);
  Tell(0, "----");
  __atomic_store_n(&watching, 1, __ATOMIC_RELEASE);
  while (1) {
    struct SignalInfo info;
    const long got = SystemCall(kSigtimedwait, (long)&wanted, (long)&info, 0, kSignalBytes, 0);
    if (got != kSignal || info.code != kFromQueue) continue;
    char letters[4];
    // Bits 0 to 15: the request's number; 16 to 19: what is asked; from 20 on: cures to leave out.
    for (u32 i = 0; i < 4; ++i) {
      const int without = (info.value >> (20 + i)) & 1;
      letters[i] = without ? kNothing : kCures[i]((enum Request)((info.value >> 16) & 15));
    }
    Tell(info.value & 0xffff, letters);
  }
  return NULL;
}

static void StartThread(void) {
  // Without threads in its libc (glibc before 2.34 has them in a library of their own) a process has none of the
  // libraries that the shim is for, either.
  if (pthread_create == NULL) return;
  unsigned long thread;
  Mask before;
  // The new thread inherits the mask, so that there is no moment at which it could take a signal of the function's.
  SetMask(AllButFaults(), &before);
  __atomic_store_n(&watching, 0, __ATOMIC_RELAXED);
  const int failed = pthread_create(&thread, NULL, Watch, NULL);
  // The program must not come up before init can see the shim: it would be taken for one without. Bounded, as a processor
  // that nobody gives the thread must not keep the program for ever.
  for (u32 i = 0; failed == 0 && i < kMostYields && !__atomic_load_n(&watching, __ATOMIC_ACQUIRE); ++i) {
    SystemCall(kSchedYield, 0, 0, 0, 0, 0);
  }
  SetMask(before, NULL);
}

__attribute__((constructor)) static void Begin(void) {
  StartThread();
  // A forked child has only the thread that forked.
  if (__register_atfork != NULL) {
    __register_atfork(NULL, NULL, StartThread, NULL);
  } else if (pthread_atfork != NULL) {
    pthread_atfork(NULL, NULL, StartThread);
  }
}
