package jdk.crac;

import io.thaw.crac.CheckpointHook;
import io.thaw.crac.OrderedContext;

/** Where to register for checkpoints, and where to ask for one. */
public final class Core {

    private static final Context<Resource> GLOBAL = new OrderedContext<>("global");

    private Core() {
    }

    /**
     * The root of all contexts. It holds resources weakly: whoever registers one keeps it.
     *
     * @return the global context
     */
    public static Context<Resource> getGlobalContext() {
        return GLOBAL;
    }

    /**
     * Asks for a checkpoint here and now.
     *
     * <p>On Thaw it is the platform that says when: it freezes a function between two calls, never
     * within one. So inside a function this throws CheckpointException with the reason, and the
     * function does well to register its resources and wait.
     *
     * @throws CheckpointException when no checkpoint was made
     * @throws RestoreException when resources could not go on after a restore
     * @throws UnsupportedOperationException when no Thaw runtime runs in this process
     */
    public static void checkpointRestore() throws CheckpointException, RestoreException {
        CheckpointHook.installed().checkpointRestore();
    }
}
