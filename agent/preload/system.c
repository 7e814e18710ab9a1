#include "agent/preload/shim.h"

#if defined(__x86_64__)
enum { kGetrandom = 318, kNanosleep = 35, kOpenat = 257, kRead = 0, kClose = 3 };
long SystemCall(long number, long a, long b, long c, long d, long e) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                   : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
enum { kGetrandom = 278, kNanosleep = 101, kOpenat = 56, kRead = 63, kClose = 57 };
long SystemCall(long number, long a, long b, long c, long d, long e) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  return x0;
}
#else
#error "no system calls for this architecture"
#endif

extern void* dlopen(const char*, int) __attribute__((weak));
extern void* dlsym(void*, const char*) __attribute__((weak));
extern int dlclose(void*) __attribute__((weak));

struct LoadedObject {
  size base;
  const char* name;
};
extern int dl_iterate_phdr(int (*)(struct LoadedObject*, size, void*), void*) __attribute__((weak));

enum { kNoLoad = 4, kLazy = 1, kMaxCopies = 16, kNameBytes = 256 * 1024 };

// Names are copied before anything is looked up: the list is locked while it is walked.
struct Names {
  size used;
  char text[kNameBytes];
};
static struct Names names;

void* memset(void* to, int value, size count) {
  volatile u8* bytes = to;
  for (size i = 0; i < count; ++i) bytes[i] = (u8)value;
  return to;
}

int Entropy(void* to, size count) {
  u8* bytes = to;
  size have = 0;
  while (have < count) {
    const long got = SystemCall(kGetrandom, (long)(bytes + have), (long)(count - have), 0, 0, 0);
    if (got <= 0 && got != -4) return 0;
    if (got > 0) have += (size)got;
  }
  return 1;
}

void Copy(char* to, const char* from, size capacity) {
  size i = 0;
  for (; from[i] != '\0' && i + 1 < capacity; ++i) to[i] = from[i];
  to[i] = '\0';
}

void Nap(long nanoseconds) {
  const long time[2] = {0, nanoseconds};
  SystemCall(kNanosleep, (long)time, 0, 0, 0, 0);
}

static int NoteName(struct LoadedObject* object, size length, void* context) {
  (void)length;
  (void)context;
  size bytes = 0;
  if (object->name == NULL || object->name[0] == '\0') return 0;
  while (object->name[bytes] != '\0') ++bytes;
  if (names.used + bytes + 1 > kNameBytes) return 1;
  Copy(names.text + names.used, object->name, bytes + 1);
  names.used += bytes + 1;
  return 0;
}

void ForEachSymbol(const char* symbol, void (*use)(void*, void*), void* context) {
  void* seen[kMaxCopies];
  u32 count = 0;
  if (dlsym == NULL) return;
  void* found = dlsym(NULL, symbol);
  if (found != NULL) seen[count++] = found;
  if (dl_iterate_phdr != NULL && dlopen != NULL) {
    names.used = 0;
    dl_iterate_phdr(NoteName, NULL);
    for (size at = 0; at < names.used && count < kMaxCopies;) {
      void* handle = dlopen(names.text + at, kLazy | kNoLoad);
      if (handle != NULL) {
        found = dlsym(handle, symbol);
        u32 i = 0;
        while (i < count && seen[i] != found) ++i;
        if (found != NULL && i == count) seen[count++] = found;
        dlclose(handle);
      }
      while (names.text[at] != '\0') ++at;
      ++at;
    }
  }
  for (u32 i = 0; i < count; ++i) use(seen[i], context);
}

static void KeepFirst(void* address, void* context) {
  void** first = context;
  if (*first == NULL) *first = address;
}

void* FindSymbol(const char* symbol) {
  void* found = NULL;
  if (dlsym != NULL) found = dlsym(NULL, symbol);
  if (found == NULL) ForEachSymbol(symbol, KeepFirst, &found);
  return found;
}
