package com.fnproject.fn.api;

import java.io.IOException;
import java.io.OutputStream;
import java.util.Objects;
import java.util.Optional;

/** The answer to one call. */
public interface OutputEvent {

    /** The header that {@link #getContentType} reads. */
    String CONTENT_TYPE_HEADER = "Content-Type";

    /** How a call ended, and the HTTP status that tells the platform. */
    enum Status {
        /** The function answered. */
        Success(200),
        /** The function failed; the platform goes on using this process. */
        FunctionError(502),
        /** The function gave up because its time had passed. */
        FunctionTimeout(504),
        /** The runtime itself failed; the platform replaces this process. */
        InternalError(500);

        private final int code;

        Status(int code) {
            this.code = code;
        }

        /** @return the HTTP status */
        public int getCode() {
            return code;
        }
    }

    /** @return how the call ended */
    Status getStatus();

    /** @return whether the function answered */
    default boolean isSuccess() {
        return getStatus() == Status.Success;
    }

    /** @return the body's media type, when one is set */
    default Optional<String> getContentType() {
        return getHeaders().get(CONTENT_TYPE_HEADER);
    }

    /** @return the answer's headers, its content type among them */
    Headers getHeaders();

    /**
     * Writes the body.
     *
     * @param out where to; the caller closes it
     * @throws IOException when {@code out} fails
     */
    void writeToOutput(OutputStream out) throws IOException;

    /**
     * @param headers the headers of the new event; they replace all of this one's
     * @return an event with this one's status and body
     */
    default OutputEvent withHeaders(Headers headers) {
        Objects.requireNonNull(headers, "headers");
        OutputEvent body = this;
        return new OutputEvent() {
            @Override
            public Status getStatus() {
                return body.getStatus();
            }

            @Override
            public Headers getHeaders() {
                return headers;
            }

            @Override
            public void writeToOutput(OutputStream out) throws IOException {
                body.writeToOutput(out);
            }
        };
    }

    /**
     * @param bytes the body, not copied
     * @param status how the call ended
     * @param contentType the body's media type, or null for none
     * @return an event of these
     */
    static OutputEvent fromBytes(byte[] bytes, Status status, String contentType) {
        return fromBytes(bytes, status, contentType, Headers.emptyHeaders());
    }

    /**
     * @param bytes the body, not copied
     * @param status how the call ended
     * @param contentType the body's media type, or null to leave that to {@code headers}
     * @param headers further headers
     * @return an event of these
     */
    static OutputEvent fromBytes(byte[] bytes, Status status, String contentType, Headers headers) {
        Objects.requireNonNull(bytes, "bytes");
        Objects.requireNonNull(status, "status");
        Objects.requireNonNull(headers, "headers");
        Headers all = contentType == null ? headers : headers.setHeader(CONTENT_TYPE_HEADER, contentType);
        return new OutputEvent() {
            @Override
            public Status getStatus() {
                return status;
            }

            @Override
            public Headers getHeaders() {
                return all;
            }

            @Override
            public void writeToOutput(OutputStream out) throws IOException {
                out.write(bytes);
            }
        };
    }

    /**
     * @param status how the call ended
     * @return an event with neither headers nor body
     */
    static OutputEvent emptyResult(Status status) {
        return fromBytes(new byte[0], status, null);
    }
}
