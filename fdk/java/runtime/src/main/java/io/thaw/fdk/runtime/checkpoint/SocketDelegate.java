package io.thaw.fdk.runtime.checkpoint;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import jdk.crac.Context;
import jdk.crac.Resource;

/**
 * The socket that the platform calls the function on, which is closed while the process is frozen.
 *
 * <p>It is a resource like any other, the one that is told last of a checkpoint and first of a restore;
 * {@link CheckpointCycle} keeps it outside the global context, since its closing is what must not
 * happen when another resource has vetoed.
 *
 * <p>Threads: one at a time, but close() may come from any, and makes accept() fail.
 */
public final class SocketDelegate implements Resource {

    // The platform opens one connection; the others are people and probes.
    private static final int BACKLOG = 8;

    private final Path name;
    private Path bound;
    private volatile ServerSocketChannel listener;

    /** @param name the absolute path at which the platform looks for the socket */
    public SocketDelegate(Path name) {
        this.name = name;
    }

    /**
     * Makes the socket. Its name appears only when it can be connected to, for the platform takes the
     * name's appearance as the sign: it is bound under another name first, opened to all users, and
     * then linked, relatively, because the directory has another path outside of the container.
     *
     * @throws IOException when it can't be made; the message names the path
     */
    public void open() throws IOException {
        Path directory = name.getParent();
        bound = directory.resolve("fn-" + Long.toString(System.nanoTime(), 36) + ".sock");
        try {
            ServerSocketChannel opened = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
            listener = opened;
            opened.bind(UnixDomainSocketAddress.of(bound), BACKLOG);
            Files.setPosixFilePermissions(bound, PosixFilePermissions.fromString("rw-rw-rw-"));
            Files.deleteIfExists(name);
            Files.createSymbolicLink(name, bound.getFileName());
        } catch (IOException e) {
            close();
            throw new IOException("can't make the function's socket " + name + ": " + e
                    + "; the directory has to exist and be writable for the function", e);
        }
    }

    /**
     * Waits for a connection.
     *
     * <p>An interrupt that the function left behind, or sends from a thread of its own, closes the socket, as
     * the JDK has it; it is opened again.
     *
     * @return the connection, in blocking mode
     * @throws IOException when the socket has broken
     */
    public SocketChannel accept() throws IOException {
        while (true) {
            ServerSocketChannel current = listener;
            if (current == null) {
                throw new IOException("the function's socket " + name + " is closed");
            }
            try {
                return current.accept();
            } catch (ClosedByInterruptException e) {
                Thread.interrupted();
                close();
                open();
            }
        }
    }

    /** Closes the socket and removes both its names. What can't be removed is logged. */
    public void close() {
        remove(name);
        ServerSocketChannel closing = listener;
        listener = null;
        if (closing != null) {
            try {
                closing.close();
            } catch (IOException e) {
                System.err.println("thaw-fdk: can't close the function's socket: " + e);
            }
        }
        if (bound != null) {
            remove(bound);
        }
    }

    @Override
    public void beforeCheckpoint(Context<? extends Resource> context) {
        close();
    }

    @Override
    public void afterRestore(Context<? extends Resource> context) throws IOException {
        open();
    }

    @Override
    public String toString() {
        return "function socket " + name;
    }

    private static void remove(Path path) {
        try {
            Files.deleteIfExists(path);
        } catch (IOException e) {
            System.err.println("thaw-fdk: can't remove " + path + ": " + e);
        }
    }
}
