package io.thaw.fdk.runtime.http;

import java.io.IOException;

/** The peer did not speak HTTP/1.1 as it has to. The connection can't be used any further. */
public final class HttpProtocolException extends IOException {

    private static final long serialVersionUID = 1L;

    private final int status;

    HttpProtocolException(int status, String message) {
        super(message);
        this.status = status;
    }

    /** @return the status to answer with before the connection is closed */
    public int status() {
        return status;
    }
}
