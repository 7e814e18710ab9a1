// Node: node.js beside this file replaces what keeps random numbers in JavaScript. It looks at one number of the shim's,
// which changes after a restore, at each use: no event loop has to turn for it, in no worker.
#include "agent/preload/shim.h"

typedef void* Env;
typedef void* Value;

static volatile u32 generation;
static volatile u32 ready;

static Value MarkReady(Env env, void* info) {
  (void)env;
  (void)info;
  ready = 1;
  return NULL;
}

// Node looks for this name when node.js opens the shim as an addon; its ABI is Node-API's.
__attribute__((visibility("default"))) Value napi_register_module_v1(Env env, Value exports);
Value napi_register_module_v1(Env env, Value exports) {
  int (*create)(Env, void*, size, void*, void*, Value*) =
      (int (*)(Env, void*, size, void*, void*, Value*))FindSymbol("napi_create_external_arraybuffer");
  int (*function)(Env, const char*, size, void*, void*, Value*) =
      (int (*)(Env, const char*, size, void*, void*, Value*))FindSymbol("napi_create_function");
  int (*set)(Env, Value, const char*, Value) =
      (int (*)(Env, Value, const char*, Value))FindSymbol("napi_set_named_property");
  Value buffer;
  Value mark;
  if (create == NULL || function == NULL || set == NULL) return exports;
  if (create(env, (void*)&generation, sizeof generation, NULL, NULL, &buffer) != 0) return exports;
  if (function(env, "ready", 5, (void*)MarkReady, NULL, &mark) != 0) return exports;
  set(env, exports, "generation", buffer);
  set(env, exports, "ready", mark);
  return exports;
}

char CureNode(enum Request request) {
  if (FindSymbol("napi_create_function") == NULL) return kNothing;
  if (!ready) return kFailed;
  // After CureOpenssl: what JavaScript draws now comes from a generator that is this copy's own.
  if (request == kReseed) ++generation;
  return kCured;
}
