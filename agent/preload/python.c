// CPython: `random`'s generators, the module's own and those that the garbage collector knows, and NumPy's.
#include "agent/preload/shim.h"

// Each runs in a namespace of its own; what must last is an attribute of `sys`. Types are asked by type(), because
// isinstance() would wake lazy objects of frameworks.
static const char kPreparePython[] =
    "exec('''\n"
    "import gc, sys, weakref\n"
    "found = []\n"
    "random = sys.modules.get(\"random\")\n"
    "numpy = sys.modules.get(\"numpy.random\")\n"
    "for o in gc.get_objects() if random or numpy else ():\n"
    "    t = type(o)\n"
    "    if random and issubclass(t, random.Random) and not issubclass(t, random.SystemRandom):\n"
    "        found.append((\"random\", weakref.ref(o)))\n"
    "    elif numpy and issubclass(t, numpy.Generator):\n"
    "        found.append((\"generator\", weakref.ref(o)))\n"
    "    elif numpy and issubclass(t, numpy.RandomState):\n"
    "        found.append((\"state\", weakref.ref(o)))\n"
    "sys._thaw_unique = found\n"
    "''', {'__name__': '_thaw_unique'})\n";

static const char kReseedPython[] =
    "exec('''\n"
    "import sys\n"
    "random = sys.modules.get(\"random\")\n"
    "numpy = sys.modules.get(\"numpy.random\")\n"
    "if random: random.Random.seed(random._inst)\n"
    "if numpy: numpy.seed()\n"
    "for kind, ref in getattr(sys, \"_thaw_unique\", ()):\n"
    "    o = ref()\n"
    "    if o is None: continue\n"
    "    if kind == \"random\":\n"
    "        random.Random.seed(o)\n"
    "        if hasattr(o, \"gauss_next\"): o.gauss_next = None\n"
    "    elif kind == \"generator\":\n"
    "        o.bit_generator.state = type(o.bit_generator)().state\n"
    "    else:\n"
    "        o.seed()\n"
    "''', {'__name__': '_thaw_unique'})\n";

char CurePython(enum Request request) {
  int (*is_initialized)(void) = (int (*)(void))FindSymbol("Py_IsInitialized");
  int (*ensure)(void) = (int (*)(void))FindSymbol("PyGILState_Ensure");
  void (*release)(int) = (void (*)(int))FindSymbol("PyGILState_Release");
  int (*run)(const char*, void*) = (int (*)(const char*, void*))FindSymbol("PyRun_SimpleStringFlags");
  if (is_initialized == NULL || ensure == NULL || release == NULL || run == NULL || !is_initialized()) return kNothing;
  if (request == kLook) return kCured;
  const int state = ensure();
  // Its own traceback is on stderr when it fails.
  const int result = run(request == kPrepare ? kPreparePython : kReseedPython, NULL);
  release(state);
  return result == 0 ? kCured : kFailed;
}
