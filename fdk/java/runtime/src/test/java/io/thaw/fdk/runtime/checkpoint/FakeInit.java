package io.thaw.fdk.runtime.checkpoint;

import java.io.BufferedReader;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/** thaw-init as far as a function sees it: takes requests to be dumped, and names a marker for each. */
public final class FakeInit implements AutoCloseable {

    private final Path directory;
    private final ServerSocketChannel listener;
    private int requests;

    /** @param directory where request.sock and the markers are made */
    public FakeInit(Path directory) throws IOException {
        this.directory = directory;
        listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        listener.bind(UnixDomainSocketAddress.of(socket()));
    }

    /** @return the path of request.sock */
    public Path socket() {
        return directory.resolve("request.sock");
    }

    /** Takes one request, checks it, and answers with {@code wait MARKER}. */
    public Path takeRequest() throws IOException {
        Path marker = directory.resolve("resume-" + ++requests);
        answer("wait " + marker + "\n");
        return marker;
    }

    /** Takes one wish for a checkpoint and names the marker by which it would be refused. */
    public Path takeWish() throws IOException {
        Path marker = directory.resolve("resume-wish-" + ++requests);
        answer("wish", "wait " + marker + "\n");
        return marker;
    }

    /** Takes one request, checks it, and answers with {@code line}. */
    public void answer(String line) throws IOException {
        answer("checkpoint", line);
    }

    private void answer(String expected, String line) throws IOException {
        try (SocketChannel channel = listener.accept()) {
            String request = new BufferedReader(Channels.newReader(channel, StandardCharsets.US_ASCII)).readLine();
            if (!expected.equals(request)) {
                throw new IOException("asked \"" + request + "\"");
            }
            channel.write(ByteBuffer.wrap(line.getBytes(StandardCharsets.UTF_8)));
        }
    }

    /** Wakes the function that waits for this marker. */
    public static void resume(Path marker) throws IOException {
        Files.createFile(marker);
    }

    /** Wakes who waits for this marker, and tells it why there was no checkpoint. */
    public static void refuse(Path marker, String why) throws IOException {
        Path fresh = marker.resolveSibling(marker.getFileName() + ".new");
        Files.writeString(fresh, why);
        Files.move(fresh, marker, StandardCopyOption.ATOMIC_MOVE);
    }

    @Override
    public void close() throws IOException {
        listener.close();
        Files.deleteIfExists(socket());
    }
}
