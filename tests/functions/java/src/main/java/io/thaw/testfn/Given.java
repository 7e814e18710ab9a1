package io.thaw.testfn;

import com.fnproject.fn.api.FnConfiguration;
import com.fnproject.fn.api.RuntimeContext;
import io.thaw.fdk.Environment;
import io.thaw.fdk.Secrets;
import java.util.Map;
import java.util.TreeMap;

/** Shows config and secrets as a function sees them now. Keeps what it reads, as a careless function would. */
public class Given {

    private static final Map<String, String> HELD = new TreeMap<>();

    private RuntimeContext runtime;

    @FnConfiguration
    public void configure(RuntimeContext context) {
        runtime = context;
    }

    /**
     * @param key a config key
     * @return its value in three views, and all secrets
     */
    public Map<String, Object> show(String key) {
        Map<String, String> secrets = new TreeMap<>();
        for (String name : Secrets.names()) {
            secrets.put(name, Secrets.getString(name).orElse(""));
        }
        HELD.putAll(secrets);
        return Map.of(
                "context", runtime.getConfigurationByKey(key).orElse("-"),
                "environment", Environment.get(key).orElse("-"),
                "getenv", String.valueOf(System.getenv(key)),
                "secrets", secrets);
    }
}
