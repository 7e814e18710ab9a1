package io.thaw.fdk.runtime.checkpoint;

import io.thaw.crac.CallbackObserver;
import io.thaw.crac.CheckpointHook;
import io.thaw.crac.OrderedContext;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
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
    private final CheckpointWishes wishes;
    // Of a JDK that has a CRaC of its own and was started to use it; else null.
    private final CheckpointHook jdk;
    private final RandomReseeder reseeder = new RandomReseeder();
    // What threw a cause of a veto. By identity: exceptions may define equals.
    private final Map<Throwable, String> vetoed = new IdentityHashMap<>();
    private final TimerCatchUp timers = new TimerCatchUp();
    private long restores;
    private String failure = "";

    /**
     * @param socket the function's socket
     * @param requestSocket where thaw-init listens
     */
    public CheckpointCycle(SocketDelegate socket, Path requestSocket) {
        this(socket, requestSocket, jdkEngine());
    }

    CheckpointCycle(SocketDelegate socket, Path requestSocket, CheckpointHook jdk) {
        this.socket = socket;
        this.requestSocket = requestSocket;
        this.freezeRequest = new FreezeRequest(requestSocket);
        this.wishes = new CheckpointWishes(requestSocket);
        this.jdk = jdk;
        OrderedContext.observe(this::observe);
    }

    // The agent says so when it has given the JVM the options that this needs.
    private static CheckpointHook jdkEngine() {
        return Core.class.getModule().isNamed() && "crac".equals(System.getenv("THAW_ENGINE"))
                ? Core::checkpointRestore
                : null;
    }

    /** @return how often this process has been woken, after a restore or a checkpoint */
    public long restores() {
        return restores;
    }

    /** @return why the last attempt that closed the socket made no checkpoint; empty when it did */
    public String failure() {
        return failure;
    }

    /** @return what user code asks for checkpoints */
    public CheckpointWishes wishes() {
        return wishes;
    }

    /**
     * Gets all resources but the socket ready to be frozen.
     *
     * @return null when all are; otherwise why not, and those told have been told to go on
     */
    public Refusal prepare() {
        vetoed.clear();
        Refusal refusal = jdk != null ? null : tellBeforeCheckpoint();
        if (refusal != null) {
            wishes.complete(new CheckpointWishes.Outcome(refusal.exception(), null));
            return refusal;
        }
        reseeder.prepare();
        timers.prepare();
        // What is garbage now would be written to disk, sent to other nodes, and read at every restore.
        System.gc();
        return null;
    }

    private Refusal tellBeforeCheckpoint() {
        if (Core.class.getModule().isNamed()) {
            return new Refusal(new CheckpointException("this JDK has a CRaC of its own, so resources are not registered "
                    + "with this runtime: use engine crac, or a stock JDK"));
        }
        if (!Files.exists(requestSocket)) {
            return new Refusal(new CheckpointException("no thaw-init to ask for a checkpoint: " + requestSocket
                    + " is missing; the container has to be started by a Thaw agent"));
        }
        long start = System.nanoTime();
        try {
            Core.getGlobalContext().beforeCheckpoint(null);
            log("resources ready after " + millis(System.nanoTime() - start));
            return null;
        } catch (CheckpointException e) {
            log("vetoed after " + millis(System.nanoTime() - start));
            tellAfterRestore();
            return new Refusal(e, new IdentityHashMap<>(vetoed));
        } finally {
            // As after a call: a callback's interrupt would close the connection.
            Thread.interrupted();
        }
    }

    /** Undoes {@link #prepare}: there will be no checkpoint, and the socket has not been closed. */
    public void abandon() {
        String why = "the platform did not take the answer";
        log("abandoned: " + why);
        if (jdk == null) {
            tellAfterRestore();
        }
        wishes.complete(new CheckpointWishes.Outcome(new CheckpointException(why), null));
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
        CheckpointException refused = null;
        RestoreException unrestored = null;
        try {
            if (jdk != null) {
                jdk.checkpointRestore();
            } else {
                timers.hold(freezeRequest::sendAndWait);
            }
            restores++;
        } catch (IOException e) {
            refused = new CheckpointException(e.getMessage());
        } catch (CheckpointException e) {
            refused = e;
        } catch (RestoreException e) {
            restores++;
            unrestored = e;
        }
        failure = refused == null ? "" : new Refusal(refused).json();
        if (refused != null) {
            log("not made: " + failure);
        }
        start = System.nanoTime();
        // Connections made from now on wait in the backlog until this returns.
        socket.afterRestore(null);
        logCallback(CallbackObserver.Phase.AFTER, socket.toString(), System.nanoTime() - start, null);
        List<String> left = reseeder.reseed();
        if (jdk != null) {
            timers.skipMissed(System.currentTimeMillis());
        } else {
            unrestored = tellAfterRestore();
        }
        if (!left.isEmpty()) {
            log("random generators that could not be re-seeded: " + String.join("; ", left));
        }
        // Last: who wished for it finds the resources as they are after a restore.
        wishes.complete(new CheckpointWishes.Outcome(refused, refused == null ? unrestored : null));
        log("serving again after " + millis(System.nanoTime() - start));
    }

    private static RestoreException tellAfterRestore() {
        try {
            Core.getGlobalContext().afterRestore(null);
            return null;
        } catch (RestoreException e) {
            // Each failure has been logged; the function serves on as well as it can.
            log(e.getSuppressed().length + " resource(s) could not go on");
            return e;
        } finally {
            Thread.interrupted();
        }
    }

    private void observe(CallbackObserver.Phase phase, String resource, long nanos, Throwable thrown) {
        if (thrown != null && phase == CallbackObserver.Phase.BEFORE) {
            // Innermost contexts come first, and know best who it was.
            vetoed.putIfAbsent(thrown, resource);
        }
        logCallback(phase, resource, nanos, thrown);
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
