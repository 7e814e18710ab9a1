package io.thaw.fdk.runtime.http;

import java.io.InputStream;
import java.util.List;
import java.util.Map;

/** A request whose head has been read; its body is read from the connection on demand. */
public final class HttpRequest {

    private final String method;
    private final String path;
    private final Map<String, List<String>> headers;
    private final InputStream body;

    HttpRequest(String method, String path, Map<String, List<String>> headers, InputStream body) {
        this.method = method;
        this.path = path;
        this.headers = headers;
        this.body = body;
    }

    /** @return the method, as sent */
    public String method() {
        return method;
    }

    /** @return the target without its query */
    public String path() {
        return path;
    }

    /** @return values by name; names in the order and case of their first appearance */
    public Map<String, List<String>> headers() {
        return headers;
    }

    /** @return the body; its end is the body's end. Valid until the answer is begun */
    public InputStream body() {
        return body;
    }
}
