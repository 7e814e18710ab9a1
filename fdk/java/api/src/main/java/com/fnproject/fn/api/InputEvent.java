package com.fnproject.fn.api;

import java.io.Closeable;
import java.io.InputStream;
import java.time.Instant;
import java.util.function.Function;

/** What came in with one call. Closing it drops what is left of the body. */
public interface InputEvent extends Closeable {

    /**
     * Hands the body to {@code dest}, once. The stream is read straight from the connection and is
     * closed when {@code dest} returns.
     *
     * @param dest reads the body
     * @param <T> what it makes of it
     * @return what {@code dest} returned
     * @throws IllegalStateException when the body was consumed before
     */
    <T> T consumeBody(Function<InputStream, T> dest);

    /** @return the platform's id of this call */
    String getCallID();

    /** @return when the caller stops waiting for the answer */
    Instant getDeadline();

    /** @return the request's headers */
    Headers getHeaders();
}
