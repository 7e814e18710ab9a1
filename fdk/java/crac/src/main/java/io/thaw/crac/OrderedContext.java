package io.thaw.crac;

import java.lang.ref.WeakReference;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import jdk.crac.CheckpointException;
import jdk.crac.Context;
import jdk.crac.Resource;
import jdk.crac.RestoreException;

/**
 * Tells resources of a checkpoint in the reverse order of their registration, and of the restore in
 * that order.
 *
 * <p>A resource that throws does not keep the others from being told; all that were told, the one
 * that threw among them, are told of the restore. Each is told as often as it was registered.
 *
 * <p>Ownership: resources are held weakly, and strongly only from their {@code beforeCheckpoint} to
 * their {@code afterRestore}. They are never compared by {@code equals}: what org.crac registers are
 * proxies that pass {@code equals} and {@code hashCode} on to the user's object.
 *
 * <p>Threads: any thread may register at any time, from within a callback too; a resource registered
 * during a checkpoint is told from the next one on. Checkpoints come from one thread at a time.
 *
 * @param <R> the kind of resource that can be registered
 */
public final class OrderedContext<R extends Resource> extends Context<R> {

    private static final int FIRST_SWEEP = 64;

    private static volatile CallbackObserver observer = CallbackObserver.NONE;

    private final String name;
    private final Object lock = new Object();
    private List<WeakReference<R>> registered = new ArrayList<>();
    private int nextSweep = FIRST_SWEEP;
    private List<R> told = List.of();

    /** @param name how it is called in logs */
    public OrderedContext(String name) {
        this.name = Objects.requireNonNull(name);
    }

    /**
     * Replaces the observer of all contexts of this process.
     *
     * @param newObserver is told of each callback
     */
    public static void observe(CallbackObserver newObserver) {
        observer = Objects.requireNonNull(newObserver);
    }

    @Override
    public void register(R resource) {
        Objects.requireNonNull(resource, "resource");
        synchronized (lock) {
            registered.add(new WeakReference<>(resource));
            if (registered.size() >= nextSweep) {
                // A function that registers one resource per call must not fill the heap with
                // references to collected ones.
                registered.removeIf(reference -> reference.get() == null);
                nextSweep = Math.max(FIRST_SWEEP, 2 * registered.size());
            }
        }
    }

    @Override
    public void beforeCheckpoint(Context<? extends Resource> context) throws CheckpointException {
        List<R> resources = new ArrayList<>();
        synchronized (lock) {
            registered.removeIf(reference -> reference.get() == null);
            for (WeakReference<R> reference : registered) {
                R resource = reference.get();
                if (resource != null) {
                    resources.add(resource);
                }
            }
            told = resources;
        }
        CheckpointException failure = null;
        for (int i = resources.size() - 1; i >= 0; i--) {
            Throwable thrown = tell(CallbackObserver.Phase.BEFORE, resources.get(i));
            if (thrown != null) {
                failure = failure == null ? new CheckpointException() : failure;
                addCauses(failure, thrown, thrown instanceof CheckpointException);
            }
        }
        if (failure != null) {
            throw failure;
        }
    }

    @Override
    public void afterRestore(Context<? extends Resource> context) throws RestoreException {
        List<R> resources;
        synchronized (lock) {
            resources = told;
            told = List.of();
        }
        RestoreException failure = null;
        for (R resource : resources) {
            Throwable thrown = tell(CallbackObserver.Phase.AFTER, resource);
            if (thrown != null) {
                failure = failure == null ? new RestoreException() : failure;
                addCauses(failure, thrown, thrown instanceof RestoreException);
            }
        }
        if (failure != null) {
            throw failure;
        }
    }

    @Override
    public String toString() {
        return name + " context";
    }

    private Throwable tell(CallbackObserver.Phase phase, R resource) {
        long start = System.nanoTime();
        Throwable thrown = null;
        try {
            if (phase == CallbackObserver.Phase.BEFORE) {
                resource.beforeCheckpoint(this);
            } else {
                resource.afterRestore(this);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            thrown = e;
        } catch (Exception | LinkageError | AssertionError e) {
            thrown = e;
        }
        observer.called(phase, describe(resource), System.nanoTime() - start, thrown);
        return thrown;
    }

    // The exception of a nested context stands for its causes only.
    private static void addCauses(Exception failure, Throwable thrown, boolean nested) {
        if (nested && thrown.getMessage() == null && thrown.getSuppressed().length > 0) {
            for (Throwable cause : thrown.getSuppressed()) {
                failure.addSuppressed(cause);
            }
        } else {
            failure.addSuppressed(thrown);
        }
    }

    private static String describe(Object resource) {
        try {
            return String.valueOf(resource);
        } catch (RuntimeException e) {
            // A proxy of org.crac whose user object has been collected throws here.
            return resource.getClass().getName();
        }
    }
}
