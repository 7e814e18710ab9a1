package io.thaw.testfn;

import com.fnproject.fn.api.FnConfiguration;
import com.fnproject.fn.api.RuntimeContext;
import java.util.LinkedHashMap;
import java.util.Map;

/** Shows what the function is configured with. */
public class Config {

    private RuntimeContext runtime;

    @FnConfiguration
    public void configure(RuntimeContext context) {
        runtime = context;
    }

    public Map<String, Object> show(String keys) {
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("app_id", runtime.getAppID());
        out.put("function_id", runtime.getFunctionID());
        out.put("app_name", runtime.getAppName());
        out.put("function_name", runtime.getFunctionName());
        Map<String, String> config = new LinkedHashMap<>();
        if (keys.isBlank()) {
            config.putAll(runtime.getConfiguration());
        } else {
            for (String key : keys.strip().split("\\s+")) {
                runtime.getConfigurationByKey(key).ifPresent(value -> config.put(key, value));
            }
        }
        out.put("config", config);
        return out;
    }
}
