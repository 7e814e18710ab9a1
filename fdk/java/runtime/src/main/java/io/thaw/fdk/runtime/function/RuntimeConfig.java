package io.thaw.fdk.runtime.function;

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
    private final Map<String, String> configuration;

    /** @param environment the process's environment */
    public RuntimeConfig(Map<String, String> environment) {
        Map<String, String> visible = new TreeMap<>();
        environment.forEach((name, value) -> {
            String lower = name.toLowerCase(Locale.ROOT);
            if (!NOT_CONFIGURATION.contains(lower) && !lower.startsWith("header_")) {
                visible.put(name, value);
            }
        });
        this.environment = Map.copyOf(environment);
        this.configuration = Collections.unmodifiableMap(visible);
    }

    /** @return what a function sees as its configuration */
    Map<String, String> configuration() {
        return configuration;
    }

    /**
     * @param name a variable of the environment
     * @return its value, the empty string when it isn't set
     */
    public String get(String name) {
        return environment.getOrDefault(name, "");
    }
}
