// Loaded before a Node function's own code (NODE_OPTIONS): makes what JavaScript keeps of random numbers start anew
// after a restore. V8's Math.random can't be seeded, so it is replaced; `crypto` draws UUIDs and random integers ahead
// and keeps them, so what it has kept is used up. docs/uniqueness.md.
'use strict';
(() => {
  const addon = { exports: {} };
  let crypto;
  try {
    crypto = require('crypto');
    // The shim is loaded already (LD_PRELOAD); this finds its exports.
    process.dlopen(addon, '/thaw/preload/libthaw-unique.so');
  } catch {
    return;  // No shim in this process: thaw-init sees that, and says so.
  }
  if (!addon.exports.generation) return;
  const generation = new Uint32Array(addon.exports.generation);
  let seen = generation[0];

  // sfc32: 128 bits of state, as V8's own generator has, and as quick in 32-bit steps.
  const seed = new Int32Array(4);
  let a, b, c, counter;
  const next = () => {
    const t = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return t >>> 0;
  };
  const seedAnew = () => {
    crypto.randomFillSync(seed);
    [a, b, c, counter] = seed;
    for (let i = 0; i < 12; ++i) next();
  };
  seedAnew();

  const kept = { randomUUID: crypto.randomUUID, randomUUIDv7: crypto.randomUUIDv7, randomInt: crypto.randomInt };
  // As many as Node draws ahead (lib/internal/crypto/random.js: 128 UUIDs, 1,024 integers).
  const KEPT_UUIDS = 128;
  const KEPT_INTEGERS = 1024;
  const startAnew = () => {
    seen = generation[0];
    seedAnew();
    for (const name of ['randomUUID', 'randomUUIDv7']) {
      if (kept[name]) for (let i = 0; i < KEPT_UUIDS; ++i) kept[name].call(crypto);
    }
    if (kept.randomInt) for (let i = 0; i < KEPT_INTEGERS; ++i) kept.randomInt.call(crypto, 2);
  };

  const replace = (object, name, make) => {
    const descriptor = object && Object.getOwnPropertyDescriptor(object, name);
    if (!descriptor || typeof descriptor.value !== 'function') return;
    const original = descriptor.value;
    const replacement = make(original);
    Object.defineProperty(replacement, 'name', { value: name, configurable: true });
    Object.defineProperty(replacement, 'length', { value: original.length, configurable: true });
    Object.defineProperty(object, name, { ...descriptor, value: replacement });
  };
  replace(Math, 'random', () => ({
    random() {
      if (generation[0] !== seen) startAnew();
      // 53 bits, as V8 gives.
      return ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992;
    },
  }).random);
  const checked = (original) => function (...args) {
    if (generation[0] !== seen) startAnew();
    return Reflect.apply(original, this, args);
  };
  for (const name of ['randomUUID', 'randomUUIDv7', 'randomInt']) replace(crypto, name, checked);
  const web = crypto.webcrypto && Object.getPrototypeOf(crypto.webcrypto);
  replace(web, 'randomUUID', checked);
  require('module').syncBuiltinESMExports();
  addon.exports.ready();
})();
