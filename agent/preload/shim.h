// The preloaded shim's parts, and the little of the system that they need.
//
// The shim has to load into processes of any age of glibc, and of musl: it names no symbol version, includes no libc
// header, and refers weakly to what it uses, so that what a libc lacks is null. docs/uniqueness.md says what it is for.
#ifndef THAW_AGENT_PRELOAD_SHIM_H_
#define THAW_AGENT_PRELOAD_SHIM_H_

typedef unsigned char u8;
typedef unsigned int u32;
typedef int i32;
typedef long long i64;
typedef unsigned long size;

#define NULL ((void*)0)

// What thaw-init asks for, in the value of its signal (agent/init/unique_shim.h has the same numbers).
enum Request {
  // Says which cures would work here; changes nothing.
  kLook = 0,
  // Finds now what costs time to find. Before a dump.
  kPrepare = 1,
  // After a restore: makes every generator in reach start anew.
  kReseed = 2,
};

// One for each letter of the thread's name: what became of a cure.
enum Report {
  // The process has nothing that this would cure.
  kNothing = '-',
  kCured = '+',
  kFailed = '!',
};

long SystemCall(long number, long a, long b, long c, long d, long e);
// `count` bytes from the kernel; 0 when it gave fewer.
int Entropy(void* to, size count);
void Copy(char* to, const char* from, size capacity);
void Nap(long nanoseconds);
// The address of `symbol` in whatever is loaded, also in libraries that were opened for one user only (as Python's
// modules open libcrypto); null when nothing exports it.
void* FindSymbol(const char* symbol);
// Calls `use` with each different address that `symbol` has: a process can hold several copies of OpenSSL.
void ForEachSymbol(const char* symbol, void (*use)(void* address, void* context), void* context);

// The cures. Each does what is asked and says what came of it.
char CureOpenssl(enum Request request);
char CurePython(enum Request request);
char CureNode(enum Request request);
char CureJava(enum Request request);

#endif  // THAW_AGENT_PRELOAD_SHIM_H_
