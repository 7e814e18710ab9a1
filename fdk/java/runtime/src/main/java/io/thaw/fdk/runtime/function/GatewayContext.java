package io.thaw.fdk.runtime.function;

import com.fnproject.fn.api.Headers;
import com.fnproject.fn.api.InvocationContext;
import com.fnproject.fn.api.OutputEvent;
import com.fnproject.fn.api.QueryParameters;
import com.fnproject.fn.api.httpgateway.HTTPGatewayContext;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The HTTP request behind a trigger call, which travels in headers with a prefix. */
final class GatewayContext implements HTTPGatewayContext {

    private static final String PREFIX = "Fn-Http-H-";

    private final InvocationContext call;
    private final Headers headers;
    private QueryParameters query;

    GatewayContext(InvocationContext call) {
        this.call = call;
        Map<String, List<String>> client = new LinkedHashMap<>();
        call.getRequestHeaders().asMap().forEach((name, values) -> {
            if (name.length() > PREFIX.length() && name.startsWith(PREFIX)) {
                client.put(name.substring(PREFIX.length()), values);
            }
        });
        // The body's type is the one header that a trigger leaves as it is.
        List<String> type = call.getRequestHeaders().getAllValues(OutputEvent.CONTENT_TYPE_HEADER);
        if (!type.isEmpty() && !client.isEmpty()) {
            client.putIfAbsent(OutputEvent.CONTENT_TYPE_HEADER, type);
        }
        headers = Headers.fromMultiHeaderMap(client);
    }

    @Override
    public InvocationContext getInvocationContext() {
        return call;
    }

    @Override
    public Headers getHeaders() {
        return headers;
    }

    @Override
    public String getRequestURL() {
        return call.getRequestHeaders().get("Fn-Http-Request-Url").orElse("");
    }

    @Override
    public String getMethod() {
        return call.getRequestHeaders().get("Fn-Http-Method").orElse("");
    }

    @Override
    public QueryParameters getQueryParameters() {
        if (query == null) {
            query = UrlQuery.ofUrl(getRequestURL());
        }
        return query;
    }

    @Override
    public void addResponseHeader(String key, String value) {
        if (isContentType(key)) {
            call.setResponseContentType(value);
        } else {
            call.addResponseHeader(PREFIX + key, value);
        }
    }

    @Override
    public void setResponseHeader(String key, String value, String... vs) {
        if (isContentType(key)) {
            call.setResponseContentType(value);
        } else {
            call.setResponseHeader(PREFIX + key, value, vs);
        }
    }

    @Override
    public void setStatusCode(int code) {
        if (code < 100 || code > 599) {
            throw new IllegalArgumentException("HTTP status " + code + " does not exist: use one of 100 to 599");
        }
        call.setResponseHeader("Fn-Http-Status", Integer.toString(code));
    }

    private static boolean isContentType(String key) {
        return key.equalsIgnoreCase(OutputEvent.CONTENT_TYPE_HEADER);
    }
}
