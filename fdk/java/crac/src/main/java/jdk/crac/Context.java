package jdk.crac;

/**
 * Tells the resources registered with it of checkpoints. It is a resource itself, so contexts nest.
 *
 * @param <R> the kind of resource that can be registered
 */
public abstract class Context<R extends Resource> implements Resource {

    /** For subclasses. */
    protected Context() {
    }

    /**
     * Tells the registered resources, the last registered first.
     *
     * @param context the context that this one is registered with, null for the global one
     * @throws CheckpointException when some threw; its suppressed exceptions are all the causes
     */
    @Override
    public abstract void beforeCheckpoint(Context<? extends Resource> context) throws CheckpointException;

    /**
     * Tells the resources that were told of the checkpoint, the first registered first.
     *
     * @param context the context that this one is registered with, null for the global one
     * @throws RestoreException when some threw; its suppressed exceptions are all the causes
     */
    @Override
    public abstract void afterRestore(Context<? extends Resource> context) throws RestoreException;

    /**
     * Registers a resource. Whether the context keeps it from being collected is for the subclass to
     * say.
     *
     * @param resource the resource
     */
    public abstract void register(R resource);
}
