package io.thaw.fdk.runtime.function;

import com.fnproject.fn.api.QueryParameters;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The query of a URL, decoded as HTML forms are encoded. */
final class UrlQuery implements QueryParameters {

    private final Map<String, List<String>> values;

    private UrlQuery(Map<String, List<String>> values) {
        this.values = values;
    }

    static UrlQuery ofUrl(String url) {
        Map<String, List<String>> values = new LinkedHashMap<>();
        int fragment = url.indexOf('#');
        String whole = fragment < 0 ? url : url.substring(0, fragment);
        int question = whole.indexOf('?');
        if (question >= 0) {
            for (String pair : whole.substring(question + 1).split("[&;]")) {
                if (!pair.isEmpty()) {
                    int equals = pair.indexOf('=');
                    String name = equals < 0 ? pair : pair.substring(0, equals);
                    String value = equals < 0 ? "" : pair.substring(equals + 1);
                    values.computeIfAbsent(decode(name), k -> new ArrayList<>(1)).add(decode(value));
                }
            }
        }
        values.replaceAll((name, list) -> List.copyOf(list));
        return new UrlQuery(Collections.unmodifiableMap(values));
    }

    @Override
    public Optional<String> get(String key) {
        return getValues(key).stream().findFirst();
    }

    @Override
    public List<String> getValues(String key) {
        return values.getOrDefault(key, List.of());
    }

    @Override
    public Map<String, List<String>> getAll() {
        return values;
    }

    private static String decode(String text) {
        try {
            return URLDecoder.decode(text, StandardCharsets.UTF_8);
        } catch (IllegalArgumentException e) {
            // A stray percent sign is the client's; the function sees it as it came.
            return text;
        }
    }
}
