package io.thaw.fdk.runtime.function;

import com.fnproject.fn.api.Headers;
import com.fnproject.fn.api.InvocationContext;
import com.fnproject.fn.api.InvocationListener;
import com.fnproject.fn.api.RuntimeContext;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/** One call as the function sees it. */
final class CallContext implements InvocationContext {

    private final RuntimeContext runtime;
    private final Headers requestHeaders;
    private final Map<String, List<String>> responseHeaders = new LinkedHashMap<>(4);
    private final List<InvocationListener> listeners = new ArrayList<>(0);

    CallContext(RuntimeContext runtime, Headers requestHeaders) {
        this.runtime = runtime;
        this.requestHeaders = requestHeaders;
    }

    @Override
    public RuntimeContext getRuntimeContext() {
        return runtime;
    }

    @Override
    public void addListener(InvocationListener listener) {
        listeners.add(Objects.requireNonNull(listener));
    }

    @Override
    public Headers getRequestHeaders() {
        return requestHeaders;
    }

    @Override
    public void addResponseHeader(String key, String value) {
        Objects.requireNonNull(value, "header value");
        responseHeaders.computeIfAbsent(Headers.canonicalKey(key), k -> new ArrayList<>(1)).add(value);
    }

    @Override
    public void setResponseHeader(String key, String value, String... vs) {
        List<String> values = new ArrayList<>(1 + vs.length);
        values.add(Objects.requireNonNull(value, "header value"));
        values.addAll(List.of(vs));
        responseHeaders.put(Headers.canonicalKey(key), values);
    }

    Map<String, List<String>> responseHeaders() {
        return responseHeaders;
    }

    void tellListeners(boolean success) {
        for (InvocationListener listener : listeners) {
            try {
                if (success) {
                    listener.onSuccess();
                } else {
                    listener.onFailure();
                }
            } catch (RuntimeException e) {
                System.err.println("thaw-fdk: an invocation listener threw");
                e.printStackTrace();
            }
        }
    }
}
