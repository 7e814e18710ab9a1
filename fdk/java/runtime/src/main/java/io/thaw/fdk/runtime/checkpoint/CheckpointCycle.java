package io.thaw.fdk.runtime.checkpoint;

import io.thaw.crac.CallbackObserver;
import io.thaw.crac.OrderedContext;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import jdk.crac.CheckpointException;
import jdk.crac.Core;
import jdk.crac.RestoreException;

/**
 * One checkpoint after another, each in three steps on the server's thread: {@link #prepare}, the answer
 * to the platform, {@link #freeze}. After a refusal, or {@link #abandon}, the function serves on.
 */
public final class CheckpointCycle {

    private final SocketDelegate socket;
    private final FreezeRequest freezeRequest;
    private final Path requestSocket;
    private final RandomReseeder reseeder = new RandomReseeder();
    private final TimerCatchUp timers = new TimerCatchUp();
    private long restores;

    /**
     * @param socket the function's socket
     * @param requestSocket where thaw-init listens
     */
    public CheckpointCycle(SocketDelegate socket, Path requestSocket) {
        this.socket = socket;
        this.requestSocket = requestSocket;
        this.freezeRequest = new FreezeRequest(requestSocket);
        OrderedContext.observe(CheckpointCycle::logCallback);
    }

    /** @return how often this process has been woken, after a restore or a checkpoint */
    public long restores() {
        return restores;
    }

    /**
     * Gets all resources but the socket ready to be frozen.
     *
     * @return null when all are; otherwise why not, and those told have been told to go on
     */
    public CheckpointException prepare() {
        if (Core.class.getModule().isNamed()) {
            return new CheckpointException("this JDK has a CRaC of its own, so resources are not registered with "
                    + "this runtime: use the JDK's checkpoint engine, or a stock JDK");
        }
        if (!Files.exists(requestSocket)) {
            return new CheckpointException("no thaw-init to ask for a checkpoint: " + requestSocket
                    + " is missing; the container has to be started by a Thaw agent");
        }
        long start = System.nanoTime();
        try {
            Core.getGlobalContext().beforeCheckpoint(null);
        } catch (CheckpointException e) {
            log("vetoed after " + millis(System.nanoTime() - start));
            tellAfterRestore();
            return e;
        } finally {
            // As after a call: a callback's interrupt would close the connection.
            Thread.interrupted();
        }
        reseeder.prepare();
        timers.prepare();
        // What is garbage now would be written to disk, sent to other nodes, and read at every restore.
        System.gc();
        log("resources ready after " + millis(System.nanoTime() - start));
        return null;
    }

    /** Undoes {@link #prepare}: there will be no checkpoint, and the socket has not been closed. */
    public void abandon() {
        log("abandoned: the platform did not take the answer");
        tellAfterRestore();
    }

    /**
     * Closes the socket and waits to be frozen and woken; returns in the woken process with the socket
     * open and all resources told. The caller has closed its connections.
     *
     * @throws IOException when the socket can't be opened again
     */
    public void freeze() throws IOException {
        long start = System.nanoTime();
        socket.beforeCheckpoint(null);
        logCallback(CallbackObserver.Phase.BEFORE, socket.toString(), System.nanoTime() - start, null);
        try {
            freezeRequest.sendAndWait();
            restores++;
        } catch (IOException e) {
            log("not made: " + e.getMessage());
        }
        start = System.nanoTime();
        // Connections made from now on wait in the backlog until this returns.
        socket.afterRestore(null);
        logCallback(CallbackObserver.Phase.AFTER, socket.toString(), System.nanoTime() - start, null);
        List<String> left = reseeder.reseed();
        timers.skipMissed(System.currentTimeMillis());
        tellAfterRestore();
        if (!left.isEmpty()) {
            log("random generators that could not be re-seeded: " + String.join("; ", left));
        }
        log("serving again after " + millis(System.nanoTime() - start));
    }

    private static void tellAfterRestore() {
        try {
            Core.getGlobalContext().afterRestore(null);
        } catch (RestoreException e) {
            // Each failure has been logged; the function serves on as well as it can.
            log(e.getSuppressed().length + " resource(s) could not go on");
        } finally {
            Thread.interrupted();
        }
    }

    private static void logCallback(CallbackObserver.Phase phase, String resource, long nanos, Throwable failure) {
        String callback = phase == CallbackObserver.Phase.BEFORE ? "before " : "after ";
        log(callback + resource + (failure == null ? " took " : " failed after ") + millis(nanos));
        if (failure != null) {
            failure.printStackTrace();
        }
    }

    private static void log(String message) {
        System.err.println("checkpoint: " + message);
    }

    // Not String.format, which costs the first caller after a restore several milliseconds.
    private static String millis(long nanos) {
        long micros = nanos / 1000;
        String fraction = Long.toString(1000 + micros % 1000).substring(1);
        return micros / 1000 + "." + fraction + " ms";
    }
}
