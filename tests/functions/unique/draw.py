import os
import random
import socket
import ssl
import tempfile
import uuid

KEPT = random.Random(7)
SOURCES = {
    "os.urandom": lambda: os.urandom(16).hex(),
    "random": lambda: "%x" % random.getrandbits(128),
    "random.Random-kept": lambda: "%x" % KEPT.getrandbits(128),
    "random.gauss": lambda: random.gauss(0, 1).hex(),
    "uuid4": lambda: uuid.uuid4().hex,
    "openssl": lambda: ssl.RAND_bytes(16).hex(),
    "tempfile": lambda: next(tempfile._get_candidate_names()) + next(tempfile._get_candidate_names()),
}
for draw in SOURCES.values():
    draw()
listener = socket.socket(socket.AF_UNIX)
listener.bind("/tmp/iofs/draw.sock")
listener.listen()
os.symlink("draw.sock", "/tmp/iofs/lsnr.sock")
while True:
    peer, _ = listener.accept()
    with peer, peer.makefile("rw") as stream:
        count = int(stream.readline() or 0)
        for name, draw in SOURCES.items():
            for _ in range(count):
                stream.write(f"{name} {draw()}\n")
