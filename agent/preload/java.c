// The JVM: every generator that the JDK or the function holds in the heap, whichever FDK runs.
//
// JNI is not held up by private fields or modules, and JVMTI finds objects by their class; neither needs a Java agent, an
// option, or anything on the class path. Tables and their indices are fixed by both specifications.
#include "agent/preload/shim.h"

enum {
  // JNIInvokeInterface
  kDetachCurrentThread = 5,
  kGetEnv = 6,
  kAttachCurrentThreadAsDaemon = 7,
  // JNINativeInterface
  kFindClass = 6,
  kIsAssignableFrom = 11,
  kExceptionClear = 17,
  kPushLocalFrame = 19,
  kPopLocalFrame = 20,
  kNewGlobalRef = 21,
  kDeleteLocalRef = 23,
  kNewObjectA = 30,
  kGetMethodID = 33,
  kCallIntMethodA = 51,
  kCallVoidMethodA = 63,
  kGetFieldID = 94,
  kSetLongField = 110,
  kGetStaticFieldID = 144,
  kGetStaticObjectField = 145,
  kNewByteArray = 176,
  kSetByteArrayRegion = 208,
  kExceptionCheck = 228,
  // jvmtiInterface
  kDeallocate = 46,
  kGetClassSignature = 47,
  kGetLoadedClasses = 77,
  kSetTag = 106,
  kGetObjectsWithTags = 113,
  kIterateThroughHeap = 115,
  kAddCapabilities = 141,

  kJni8 = 0x00010008,
  kJvmti12 = 0x30010200,
  kOnlyTaggedClasses = 0x20,  // JVMTI_HEAP_FILTER_CLASS_UNTAGGED
  kSeedBytes = 32,
  kMaxSources = 32,
};

typedef void* Object;
typedef void* Member;
typedef const void* const** Table;  // What JavaVM*, JNIEnv* and jvmtiEnv* point to.
typedef union {
  i64 number;
  Object object;
} Argument;

#define CALL(env, index, result, ...) ((result(*)(__VA_ARGS__))(*(env))[index])

// What an object in the heap is to us. Classes carry kClass more.
enum Tag { kRandom = 1, kSecure = 2, kSplittable = 3, kThread = 4, kTags = 4, kClass = 100 };

static struct {
  Table tools;  // JVMTI
  Object secure;
  // The JDK's sources of seeds for generators that are made from now on.
  Object sources[kMaxSources];
  u32 source_count;
} java;

static Object FindClassOf(Table env, const char* name) {
  Object found = CALL(env, kFindClass, Object, Table, const char*)(env, name);
  CALL(env, kExceptionClear, void, Table)(env);
  return found;
}

static Member Method(Table env, Object class, const char* name, const char* signature) {
  Member found = CALL(env, kGetMethodID, Member, Table, Object, const char*, const char*)(env, class, name, signature);
  CALL(env, kExceptionClear, void, Table)(env);
  return found;
}

static Member Field(Table env, Object class, const char* name, const char* signature) {
  Member found = CALL(env, kGetFieldID, Member, Table, Object, const char*, const char*)(env, class, name, signature);
  CALL(env, kExceptionClear, void, Table)(env);
  return found;
}

// False when it threw; what it threw is gone then.
static int Call(Table env, Object object, Member method, Argument argument) {
  CALL(env, kCallVoidMethodA, void, Table, Object, Member, const Argument*)(env, object, method, &argument);
  const u8 threw = CALL(env, kExceptionCheck, u8, Table)(env);
  CALL(env, kExceptionClear, void, Table)(env);
  return !threw;
}

static void NoteSource(Table env, Object class, const char* field) {
  if (class == NULL || java.source_count == kMaxSources) return;
  Member id = CALL(env, kGetStaticFieldID, Member, Table, Object, const char*, const char*)(
      env, class, field, "Ljava/util/concurrent/atomic/AtomicLong;");
  CALL(env, kExceptionClear, void, Table)(env);
  if (id == NULL) return;
  Object source = CALL(env, kGetStaticObjectField, Object, Table, Object, Member)(env, class, id);
  if (source == NULL) return;
  java.sources[java.source_count++] = CALL(env, kNewGlobalRef, Object, Table, Object)(env, source);
}

static i32 TagObject(i64 class_tag, i64 bytes, i64* tag, i32 length, void* context) {
  (void)bytes;
  (void)length;
  (void)context;
  if (class_tag > kClass) *tag = class_tag - kClass;
  return 0;
}

static int StartsWith(const char* text, const char* prefix) {
  while (*prefix != '\0') {
    if (*text++ != *prefix++) return 0;
  }
  return 1;
}

// The generators' classes get tags, then the objects of tagged classes: one walk over the heap, here and not after the
// restore, where its time would be somebody's call's.
static int TagHeap(Table env) {
  Table tools = java.tools;
  i32 count = 0;
  Object* classes = NULL;
  if (CALL(tools, kGetLoadedClasses, i32, Table, i32*, Object**)(tools, &count, &classes) != 0) return 0;
  Object random = FindClassOf(env, "java/util/Random");
  Object secure = FindClassOf(env, "java/security/SecureRandom");
  Object splittable = FindClassOf(env, "java/util/SplittableRandom");
  Object thread = FindClassOf(env, "java/lang/Thread");
  if (random == NULL || secure == NULL || splittable == NULL || thread == NULL) return 0;
  int (*set_tag)(Table, Object, i64) = (int (*)(Table, Object, i64))(*tools)[kSetTag];
  u8 (*is)(Table, Object, Object) = (u8(*)(Table, Object, Object))(*env)[kIsAssignableFrom];
  for (i32 i = 0; i < count; ++i) {
    i64 tag = 0;
    if (is(env, classes[i], secure)) {
      tag = kSecure;
    } else if (is(env, classes[i], random)) {
      tag = kRandom;
    } else if (is(env, classes[i], splittable)) {
      tag = kSplittable;
    } else if (is(env, classes[i], thread)) {
      tag = kThread;
    }
    if (tag != 0) set_tag(tools, classes[i], kClass + tag);
    char* name = NULL;
    if (java.secure == NULL &&
        CALL(tools, kGetClassSignature, i32, Table, Object, char**, char**)(tools, classes[i], &name, NULL) == 0) {
      // Where RandomGenerator's own algorithms live: up to JDK 22, and from JDK 23 on.
      if (StartsWith(name, "Ljdk/random/") || StartsWith(name, "Ljdk/internal/random/")) {
        NoteSource(env, classes[i], "defaultGen");
        NoteSource(env, classes[i], "DEFAULT_GEN");
      }
      CALL(tools, kDeallocate, i32, Table, void*)(tools, name);
    }
    CALL(env, kDeleteLocalRef, void, Table, Object)(env, classes[i]);
  }
  CALL(tools, kDeallocate, i32, Table, void*)(tools, classes);
  const void* callbacks[16] = {(const void*)TagObject};
  return CALL(tools, kIterateThroughHeap, i32, Table, i32, Object, const void*, void*)(tools, kOnlyTaggedClasses, NULL,
                                                                                     callbacks, NULL) == 0;
}

static int Prepare(Table vm, Table env) {
  if (java.tools == NULL) {
    Table tools = NULL;
    if (CALL(vm, kGetEnv, i32, Table, Table*, i32)(vm, &tools, kJvmti12) != 0) return 0;
    const u32 capabilities[4] = {1, 0, 0, 0};  // can_tag_objects
    if (CALL(tools, kAddCapabilities, i32, Table, const void*)(tools, capabilities) != 0) return 0;
    java.tools = tools;
  }
  if (!TagHeap(env)) return 0;
  if (java.secure != NULL) return 1;
  NoteSource(env, FindClassOf(env, "java/util/Random"), "seedUniquifier");
  NoteSource(env, FindClassOf(env, "java/util/SplittableRandom"), "defaultGen");
  NoteSource(env, FindClassOf(env, "java/util/concurrent/ThreadLocalRandom"), "seeder");
  // One of our own: setSeed() on it mixes into the state that all of the JDK's default algorithm share. It is used once,
  // so that its class does not have to be loaded after a restore.
  Object class = FindClassOf(env, "java/security/SecureRandom");
  Member make = Method(env, class, "<init>", "()V");
  Member next = Method(env, class, "nextInt", "()I");
  if (make == NULL || next == NULL) return 0;
  Object secure = CALL(env, kNewObjectA, Object, Table, Object, Member, const Argument*)(env, class, make, NULL);
  CALL(env, kExceptionClear, void, Table)(env);
  if (secure == NULL) return 0;
  CALL(env, kCallIntMethodA, i32, Table, Object, Member, const Argument*)(env, secure, next, NULL);
  CALL(env, kExceptionClear, void, Table)(env);
  java.secure = CALL(env, kNewGlobalRef, Object, Table, Object)(env, secure);
  return java.secure != NULL;
}

static i64 Draw(void) {
  i64 number = 0;
  Entropy(&number, sizeof number);
  return number;
}

static int SeedSecure(Table env, Object object, Member set_bytes) {
  u8 seed[kSeedBytes];
  if (!Entropy(seed, sizeof seed)) return 0;
  Object array = CALL(env, kNewByteArray, Object, Table, i32)(env, kSeedBytes);
  if (array == NULL) return 0;
  CALL(env, kSetByteArrayRegion, void, Table, Object, i32, i32, const u8*)(env, array, 0, kSeedBytes, seed);
  const int done = Call(env, object, set_bytes, (Argument){.object = array});
  CALL(env, kDeleteLocalRef, void, Table, Object)(env, array);
  return done;
}

static int Reseed(Table env) {
  // Restored from a snapshot whose preparation failed, or was not asked for.
  if (java.tools == NULL || java.secure == NULL) return 0;
  Object random = FindClassOf(env, "java/util/Random");
  Object long_class = FindClassOf(env, "java/util/concurrent/atomic/AtomicLong");
  Member set_long = Method(env, random, "setSeed", "(J)V");
  Member set_bytes = Method(env, FindClassOf(env, "java/security/SecureRandom"), "setSeed", "([B)V");
  Member set = Method(env, long_class, "set", "(J)V");
  Member splittable_seed = Field(env, FindClassOf(env, "java/util/SplittableRandom"), "seed", "J");
  Member thread_seed = Field(env, FindClassOf(env, "java/lang/Thread"), "threadLocalRandomSeed", "J");
  if (set_long == NULL || set_bytes == NULL || set == NULL || splittable_seed == NULL || thread_seed == NULL) return 0;
  int done = SeedSecure(env, java.secure, set_bytes);
  for (u32 i = 0; i < java.source_count; ++i) {
    done &= Call(env, java.sources[i], set, (Argument){.number = Draw()});
  }
  const i64 tags[kTags] = {kRandom, kSecure, kSplittable, kThread};
  i32 count = 0;
  Object* objects = NULL;
  i64* kinds = NULL;
  if (CALL(java.tools, kGetObjectsWithTags, i32, Table, i32, const i64*, i32*, Object**, i64**)(
          java.tools, kTags, tags, &count, &objects, &kinds) != 0) {
    return 0;
  }
  void (*set_field)(Table, Object, Member, i64) = (void (*)(Table, Object, Member, i64))(*env)[kSetLongField];
  for (i32 i = 0; i < count; ++i) {
    // A generator whose class throws (ThreadLocalRandom's does, by contract) has said what it wants.
    if (kinds[i] == kRandom) Call(env, objects[i], set_long, (Argument){.number = Draw()});
    if (kinds[i] == kSecure) SeedSecure(env, objects[i], set_bytes);
    if (kinds[i] == kSplittable) set_field(env, objects[i], splittable_seed, Draw());
    if (kinds[i] == kThread) set_field(env, objects[i], thread_seed, Draw());
    CALL(env, kDeleteLocalRef, void, Table, Object)(env, objects[i]);
  }
  CALL(java.tools, kDeallocate, i32, Table, void*)(java.tools, objects);
  CALL(java.tools, kDeallocate, i32, Table, void*)(java.tools, kinds);
  return done;
}

char CureJava(enum Request request) {
  int (*created)(Table*, i32, i32*) = (int (*)(Table*, i32, i32*))FindSymbol("JNI_GetCreatedJavaVMs");
  Table vm = NULL;
  i32 count = 0;
  if (created == NULL || created(&vm, 1, &count) != 0 || count == 0) return kNothing;
  if (request == kLook) return kCured;
  struct {
    i32 version;
    const char* name;
    Object group;
  } arguments = {kJni8, "thaw-unique", NULL};
  Table env = NULL;
  if (CALL(vm, kAttachCurrentThreadAsDaemon, i32, Table, Table*, void*)(vm, &env, &arguments) != 0) return kFailed;
  CALL(env, kPushLocalFrame, i32, Table, i32)(env, 64);
  const int done = request == kPrepare ? Prepare(vm, env) : Reseed(env);
  CALL(env, kPopLocalFrame, Object, Table, Object)(env, NULL);
  CALL(vm, kDetachCurrentThread, i32, Table)(vm);
  return done ? kCured : kFailed;
}
