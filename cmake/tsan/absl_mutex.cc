// For the preset `tsan`: tells ThreadSanitizer about Abseil's mutexes.
//
// Debian's Abseil is not built with the sanitizer, so what its Mutex orders looks like a race. These definitions
// take the place of the shared library's own (they are in the executable, so they are found first), call them, and
// say what happens before what. While a condition is evaluated by whoever unlocks, the accesses are not looked at:
// the lock is held then, but has been announced as released.
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>
#include <stdio.h>
#include <stdlib.h>

#include <string>
#include <typeinfo>

#include "absl/synchronization/mutex.h"

extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}

namespace {

// Abseil's inline namespace differs between releases: the class's own name has it.
template <typename Class, typename Function>
Function Next(const char* rest) {
  std::string name = typeid(Class).name();  // N4absl…5MutexE
  name.pop_back();
  name = "_Z" + name + rest;
  void* const found = dlsym(RTLD_NEXT, name.c_str());
  if (found == nullptr) {
    fprintf(stderr, "absl_mutex.cc: the shared Abseil has no %s\n", name.c_str());
    abort();
  }
  return reinterpret_cast<Function>(found);
}

class IgnoreAccesses {
 public:
  IgnoreAccesses() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~IgnoreAccesses() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
};

// Gives `mutex` up for as long as `wait` runs.
template <typename Wait>
auto WhileReleased(absl::Mutex* mutex, Wait wait) {
  __tsan_release(mutex);
  struct Acquire {
    absl::Mutex* mutex;
    ~Acquire() { __tsan_acquire(mutex); }
  } acquire{mutex};
  IgnoreAccesses ignore;
  return wait();
}

}  // namespace

namespace absl {
ABSL_NAMESPACE_BEGIN

void Mutex::Lock() {
  static const auto next = Next<Mutex, void (*)(Mutex*)>("4LockEv");
  {
    IgnoreAccesses ignore;
    next(this);
  }
  __tsan_acquire(this);
}

void Mutex::Unlock() {
  static const auto next = Next<Mutex, void (*)(Mutex*)>("6UnlockEv");
  __tsan_release(this);
  IgnoreAccesses ignore;
  next(this);
}

bool Mutex::TryLock() {
  static const auto next = Next<Mutex, bool (*)(Mutex*)>("7TryLockEv");
  const bool locked = next(this);
  if (locked) __tsan_acquire(this);
  return locked;
}

void Mutex::ReaderLock() {
  static const auto next = Next<Mutex, void (*)(Mutex*)>("10ReaderLockEv");
  {
    IgnoreAccesses ignore;
    next(this);
  }
  __tsan_acquire(this);
}

void Mutex::ReaderUnlock() {
  static const auto next = Next<Mutex, void (*)(Mutex*)>("12ReaderUnlockEv");
  __tsan_release(this);
  IgnoreAccesses ignore;
  next(this);
}

bool Mutex::ReaderTryLock() {
  static const auto next = Next<Mutex, bool (*)(Mutex*)>("13ReaderTryLockEv");
  const bool locked = next(this);
  if (locked) __tsan_acquire(this);
  return locked;
}

void Mutex::Await(const Condition& condition) {
  static const auto next = Next<Mutex, void (*)(Mutex*, const Condition&)>("5AwaitERKNS0_9ConditionE");
  WhileReleased(this, [&] { next(this, condition); });
}

bool Mutex::AwaitWithTimeout(const Condition& condition, Duration timeout) {
  static const auto next =
      Next<Mutex, bool (*)(Mutex*, const Condition&, Duration)>("16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE");
  return WhileReleased(this, [&] { return next(this, condition, timeout); });
}

bool Mutex::AwaitWithDeadline(const Condition& condition, Time deadline) {
  static const auto next =
      Next<Mutex, bool (*)(Mutex*, const Condition&, Time)>("17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE");
  return WhileReleased(this, [&] { return next(this, condition, deadline); });
}

void CondVar::Wait(Mutex* mutex) {
  static const auto next = Next<CondVar, void (*)(CondVar*, Mutex*)>("4WaitEPNS0_5MutexE");
  WhileReleased(mutex, [&] { next(this, mutex); });
}

bool CondVar::WaitWithTimeout(Mutex* mutex, Duration timeout) {
  static const auto next =
      Next<CondVar, bool (*)(CondVar*, Mutex*, Duration)>("15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE");
  return WhileReleased(mutex, [&] { return next(this, mutex, timeout); });
}

bool CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  static const auto next =
      Next<CondVar, bool (*)(CondVar*, Mutex*, Time)>("16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE");
  return WhileReleased(mutex, [&] { return next(this, mutex, deadline); });
}

ABSL_NAMESPACE_END
}  // namespace absl
