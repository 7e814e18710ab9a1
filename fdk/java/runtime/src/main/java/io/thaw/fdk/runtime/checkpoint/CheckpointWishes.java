package io.thaw.fdk.runtime.checkpoint;

import io.thaw.crac.CheckpointHook;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import jdk.crac.CheckpointException;
import jdk.crac.RestoreException;

/**
 * What {@code Core.checkpointRestore()} does in a function: tells the platform that one is wished for, and
 * waits for the outcome.
 *
 * <p>The platform freezes between two calls, by the function's own server thread ({@link CheckpointCycle}).
 * So a thread of the user's own waits here while that happens, and goes on after the dump, and after each
 * restore. On the server's thread there is nothing to wait for: it is answering a call on a connection that
 * can't be frozen.
 *
 * <p>Threads: any number may wish at once; they share one wish and its outcome.
 */
public final class CheckpointWishes implements CheckpointHook {

    /** How one attempt ended; both null when it was made. */
    record Outcome(CheckpointException refused, RestoreException restored) {
        static final Outcome MADE = new Outcome(null, null);
    }

    private static final String WISH = "wish";
    private static final long POLL_MILLIS = 20;
    // Counted, not measured: clocks jump in a restored copy. Five minutes, which is longer than most calls.
    private static final int MAX_POLLS = 15_000;

    private final FreezeRequest request;
    private final Path requestSocket;
    private final Object lock = new Object();
    private int waiting;
    private File refusal;
    private long outcomes;
    private Outcome last;
    private volatile Thread server;

    /** @param requestSocket where thaw-init listens */
    public CheckpointWishes(Path requestSocket) {
        this.requestSocket = requestSocket;
        this.request = new FreezeRequest(requestSocket);
    }

    /** From now on, the calling thread is the one that answers calls and freezes. */
    public void serveOnThisThread() {
        server = Thread.currentThread();
    }

    @Override
    public void checkpointRestore() throws CheckpointException, RestoreException {
        if (!Files.exists(requestSocket)) {
            throw new UnsupportedOperationException("no checkpoint without thaw-init: " + requestSocket
                    + " is missing; the container has to be started by a Thaw agent");
        }
        if (Thread.currentThread() == server) {
            throw refusal("a call or callback is under way on this thread, and its connection can't be frozen: ask from "
                    + "a thread of your own, which gets its checkpoint once the call has been answered");
        }
        Outcome outcome = await();
        if (outcome.refused() != null) {
            if (outcome.refused().getSuppressed().length == 0) {
                throw refusal(outcome.refused().getMessage());
            }
            CheckpointException e = new CheckpointException(outcome.refused().getMessage());
            copyCauses(outcome.refused(), e);
            throw e;
        }
        if (outcome.restored() != null) {
            RestoreException e = new RestoreException(outcome.restored().getMessage());
            copyCauses(outcome.restored(), e);
            throw e;
        }
    }

    /** Ends every wait with the outcome of the attempt that is over. */
    void complete(Outcome outcome) {
        synchronized (lock) {
            outcomes++;
            last = outcome;
            refusal = null;
            lock.notifyAll();
        }
    }

    private Outcome await() {
        boolean interrupted = false;
        try {
            synchronized (lock) {
                long seen = outcomes;
                if (waiting == 0 || refusal == null) {
                    try {
                        refusal = new File(request.ask(WISH));
                    } catch (IOException e) {
                        return refused(e.getMessage());
                    }
                }
                waiting++;
                try {
                    for (int polls = 0; polls < MAX_POLLS; polls++) {
                        if (outcomes != seen) {
                            return last;
                        }
                        if (refusal.exists()) {
                            complete(refused(read(refusal)));
                            continue;
                        }
                        try {
                            lock.wait(POLL_MILLIS);
                        } catch (InterruptedException e) {
                            // As a checkpoint of the JDK's own: it ends when it ends.
                            interrupted = true;
                        }
                    }
                } finally {
                    waiting--;
                }
            }
            return refused("the platform has made no checkpoint within five minutes");
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private static String read(File marker) {
        try {
            return Files.readString(marker.toPath());
        } catch (IOException e) {
            return "the platform's reason can't be read: " + e;
        }
    }

    private static Outcome refused(String why) {
        return new Outcome(new CheckpointException(why), null);
    }

    // The reason is a suppressed exception, too: of the exceptions that it turns into its own, org.crac passes on
    // those and no message.
    private static CheckpointException refusal(String why) {
        CheckpointException e = new CheckpointException(why);
        e.addSuppressed(new IllegalStateException(why));
        return e;
    }

    private static void copyCauses(Exception from, Exception to) {
        for (Throwable cause : from.getSuppressed()) {
            to.addSuppressed(cause);
        }
    }
}
