package io.thaw.fdk;

import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;

/**
 * The process's environment with restore-time configuration as it is now. {@code System.getenv} can't show
 * it: a process's environment is that of its first start, also after a restore.
 */
public final class Environment {

    private static final RestoreTimeConfig CONFIG =
            new RestoreTimeConfig(Path.of("/run/thaw/fn/config.json"), System.getenv());

    private Environment() {
    }

    /**
     * @param name a variable's name
     * @return its value now; empty when it has none
     */
    public static Optional<String> get(String name) {
        return Optional.ofNullable(all().get(name));
    }

    /** @return all variables as they are now; the map itself never changes */
    public static Map<String, String> all() {
        return CONFIG.current();
    }
}
