package com.fnproject.fn.api;

/** One call. Not for use by other threads, nor after the function has returned. */
public interface InvocationContext {

    /** @return the runtime of this function */
    RuntimeContext getRuntimeContext();

    /** @param listener is told how this call ended */
    void addListener(InvocationListener listener);

    /** @return the request's headers */
    Headers getRequestHeaders();

    /** @param contentType the answer's media type, whatever the output coercion says */
    default void setResponseContentType(String contentType) {
        setResponseHeader(OutputEvent.CONTENT_TYPE_HEADER, contentType);
    }

    /**
     * @param key a header of the answer
     * @param value a value to add
     */
    void addResponseHeader(String key, String value);

    /**
     * @param key a header of the answer
     * @param value replaces all values that it had
     * @param vs more values
     */
    void setResponseHeader(String key, String value, String... vs);
}
