package jdk.crac;

/** Something that has to be told of a checkpoint: a connection, an open file, a cache of secrets. */
public interface Resource {

    /**
     * Gets ready to be frozen: closes what can't be frozen.
     *
     * @param context the context that this resource is registered with
     * @throws Exception to veto the checkpoint; the process goes on as it is
     */
    void beforeCheckpoint(Context<? extends Resource> context) throws Exception;

    /**
     * Goes on after a restore, and also after a checkpoint that failed or was vetoed.
     *
     * @param context the context that this resource is registered with
     * @throws Exception when the resource can't be used any more; others are still told
     */
    void afterRestore(Context<? extends Resource> context) throws Exception;
}
