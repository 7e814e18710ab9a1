package io.thaw.fdk.runtime.function;

import io.thaw.fdk.RestoreTimeConfig;
import java.nio.file.Path;
import java.util.Collections;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** What the environment says of the function: its ids, and the configuration that it may see. */
public final class RuntimeConfig {

    // Names that belong to one request in older ways of calling a function; never configuration.
    private static final Set<String> NOT_CONFIGURATION =
            Set.of("fn_path", "fn_method", "fn_request_url", "fn_format", "content-length", "fn_call_id");

    private final Map<String, String> environment;
    private final RestoreTimeConfig now;
    private volatile Visible visible;

    // What a function may see of `of`.
    private record Visible(Map<String, String> of, Map<String, String> configuration) {
    }

    /** @param environment the environment of a process whose configuration never changes */
    public RuntimeConfig(Map<String, String> environment) {
        this(environment, Path.of("/nonexistent"));
    }

    /**
     * @param environment the process's environment
     * @param restoreTimeConfig the platform's file of configuration that changes while the process lives; it
     *     may be missing
     */
    public RuntimeConfig(Map<String, String> environment, Path restoreTimeConfig) {
        this.environment = Map.copyOf(environment);
        this.now = new RestoreTimeConfig(restoreTimeConfig, environment);
    }

    /** @return what a function sees as its configuration now; the map never changes */
    Map<String, String> configuration() {
        Map<String, String> current = now.current();
        Visible last = visible;
        if (last == null || last.of() != current) {
            last = new Visible(current, visible(current));
            visible = last;
        }
        return last.configuration();
    }

    private static Map<String, String> visible(Map<String, String> environment) {
        Map<String, String> visible = new TreeMap<>();
        environment.forEach((name, value) -> {
            String lower = name.toLowerCase(Locale.ROOT);
            if (!NOT_CONFIGURATION.contains(lower) && !lower.startsWith("header_")) {
                visible.put(name, value);
            }
        });
        return Collections.unmodifiableMap(visible);
    }

    /**
     * @param name a variable of the environment
     * @return its value at the process's start, the empty string when it wasn't set
     */
    public String get(String name) {
        return environment.getOrDefault(name, "");
    }
}
