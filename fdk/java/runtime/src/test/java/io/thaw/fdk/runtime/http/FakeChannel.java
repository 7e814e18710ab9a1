package io.thaw.fdk.runtime.http;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.channels.ByteChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.Deque;

/** A channel that gives what it was given, piece by piece, then its end, and keeps what is written. */
final class FakeChannel implements ByteChannel {

    private final Deque<ByteBuffer> pieces = new ArrayDeque<>();
    private final ByteArrayOutputStream written = new ByteArrayOutputStream();
    int writes;
    private boolean open = true;

    FakeChannel(String... input) {
        for (String piece : input) {
            pieces.add(ByteBuffer.wrap(piece.getBytes(StandardCharsets.ISO_8859_1)));
        }
    }

    static FakeChannel byteByByte(String input) {
        return new FakeChannel(input.split("(?<=[\\s\\S])"));
    }

    String written() {
        return written.toString(StandardCharsets.ISO_8859_1);
    }

    @Override
    public int read(ByteBuffer dest) {
        while (!pieces.isEmpty() && !pieces.peek().hasRemaining()) {
            pieces.remove();
        }
        if (pieces.isEmpty()) {
            return -1;
        }
        int n = 0;
        for (; dest.hasRemaining() && pieces.peek().hasRemaining(); n++) {
            dest.put(pieces.peek().get());
        }
        return n;
    }

    @Override
    public int write(ByteBuffer src) {
        writes++;
        int n = src.remaining();
        while (src.hasRemaining()) {
            written.write(src.get());
        }
        return n;
    }

    @Override
    public boolean isOpen() {
        return open;
    }

    @Override
    public void close() {
        open = false;
    }
}
