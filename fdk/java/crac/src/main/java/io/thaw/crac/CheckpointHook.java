package io.thaw.crac;

import java.util.Objects;
import jdk.crac.CheckpointException;
import jdk.crac.RestoreException;

/** What {@link jdk.crac.Core#checkpointRestore} does. The runtime installs one when it starts. */
@FunctionalInterface
public interface CheckpointHook {

    /**
     * Makes a checkpoint, or says why not.
     *
     * @throws CheckpointException when none was made
     * @throws RestoreException when resources could not go on after the restore
     */
    void checkpointRestore() throws CheckpointException, RestoreException;

    /**
     * Replaces the installed hook.
     *
     * @param hook the new one, or null for none
     */
    static void install(CheckpointHook hook) {
        Installed.hook = hook == null ? Installed.NONE : hook;
    }

    /** @return the installed hook; without one, a hook that throws UnsupportedOperationException */
    static CheckpointHook installed() {
        return Objects.requireNonNull(Installed.hook);
    }

    /** Holds the one hook of this process. */
    final class Installed {
        private static final CheckpointHook NONE = () -> {
            throw new UnsupportedOperationException(
                    "no checkpoint without a Thaw runtime: start the function with io.thaw.fdk.runtime.EntryPoint");
        };

        private static volatile CheckpointHook hook = NONE;

        private Installed() {
        }
    }
}
