package io.thaw.fdk.runtime.checkpoint;

import java.io.File;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** Asks thaw-init to have this process dumped, and waits until it is woken. */
final class FreezeRequest {

    private static final String CHECKPOINT = "checkpoint";
    private static final String WAIT = "wait ";
    private static final int MAX_LINE_BYTES = 4096;
    private static final long POLL_MILLIS = 1;

    private final Path socket;

    FreezeRequest(Path socket) {
        this.socket = socket;
    }

    /**
     * Returns once the resume marker exists: in the process that was dumped, or in a restored copy.
     *
     * @throws IOException when nothing was dumped: thaw-init can't be asked or gives no marker, or the dump
     *     failed
     */
    void sendAndWait() throws IOException {
        File marker = new File(ask(CHECKPOINT));
        // Looked at by stat only: an open file, or a watch, would be part of the dump.
        while (!marker.exists()) {
            try {
                Thread.sleep(POLL_MILLIS);
            } catch (InterruptedException e) {
                // Nothing may go on before the marker is there: a dump may be under way.
                Thread.yield();
            }
        }
        // It has words in it only when there was no checkpoint; a restored copy need not even open it.
        if (marker.length() > 0) {
            throw new IOException(Files.readString(marker.toPath()));
        }
    }

    /**
     * Asks thaw-init.
     *
     * @param what {@code checkpoint} or {@code wish}
     * @return the path of the marker to wait for
     * @throws IOException when thaw-init can't be asked or gives no marker
     */
    String ask(String what) throws IOException {
        ByteBuffer line = ByteBuffer.allocate(MAX_LINE_BYTES);
        try (SocketChannel channel = SocketChannel.open(UnixDomainSocketAddress.of(socket))) {
            ByteBuffer request = ByteBuffer.wrap((what + "\n").getBytes(StandardCharsets.US_ASCII));
            while (request.hasRemaining()) {
                channel.write(request);
            }
            while (line.hasRemaining() && (line.position() == 0 || line.get(line.position() - 1) != '\n')) {
                if (channel.read(line) < 0) {
                    break;
                }
            }
        } catch (IOException e) {
            throw new IOException("can't ask thaw-init at " + socket + ": " + e, e);
        }
        String answer = new String(line.array(), 0, line.position(), StandardCharsets.UTF_8);
        if (!answer.startsWith(WAIT + "/") || !answer.endsWith("\n")) {
            throw new IOException("thaw-init at " + socket + " named no resume marker but said \"" + answer.strip() + "\"");
        }
        return answer.substring(WAIT.length(), answer.length() - 1);
    }
}
