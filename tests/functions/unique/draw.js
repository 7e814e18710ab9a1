'use strict';
const crypto = require('crypto');
const fs = require('fs');
const net = require('net');

const sources = {
  randomBytes: () => crypto.randomBytes(16).toString('hex'),
  'Math.random': () => `${Math.random()}/${Math.random()}`,
  randomUUID: () => crypto.randomUUID(),
  randomInt: () => `${crypto.randomInt(2 ** 47)}/${crypto.randomInt(2 ** 47)}`,
  'webcrypto.randomUUID': () => crypto.webcrypto.randomUUID(),
  getRandomValues: () => Buffer.from(crypto.webcrypto.getRandomValues(new Uint8Array(16))).toString('hex'),
};
for (const draw of Object.values(sources)) draw();
net.createServer((peer) => {
  peer.once('data', (line) => {
    let text = '';
    for (const [name, draw] of Object.entries(sources)) {
      for (let i = 0; i < Number(line.toString()); ++i) text += `${name} ${draw()}\n`;
    }
    peer.end(text);
  });
}).listen('/tmp/iofs/draw.sock', () => fs.symlinkSync('draw.sock', '/tmp/iofs/lsnr.sock'));
