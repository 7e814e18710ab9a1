package io.thaw.crac;

/** Is told of each callback that a context has made. Must not throw. */
@FunctionalInterface
public interface CallbackObserver {

    /** Ignores everything. */
    CallbackObserver NONE = (phase, resource, nanos, failure) -> { };

    /** Which callback. */
    enum Phase {
        /** {@code beforeCheckpoint}. */
        BEFORE,
        /** {@code afterRestore}. */
        AFTER
    }

    /**
     * @param phase which callback
     * @param resource what the resource calls itself
     * @param nanos how long it took
     * @param failure what it threw, or null
     */
    void called(Phase phase, String resource, long nanos, Throwable failure);
}
