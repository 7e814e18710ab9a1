package io.thaw.fdk.runtime.function;

import com.fnproject.fn.api.Headers;
import com.fnproject.fn.api.InputEvent;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.time.Instant;
import java.util.function.Function;

/** The input of one call; its body can be consumed once. */
final class CallInput implements InputEvent {

    private final String callId;
    private final Instant deadline;
    private final Headers headers;
    private final InputStream body;
    private boolean consumed;

    CallInput(String callId, Instant deadline, Headers headers, InputStream body) {
        this.callId = callId;
        this.deadline = deadline;
        this.headers = headers;
        this.body = body;
    }

    @Override
    public <T> T consumeBody(Function<InputStream, T> dest) {
        if (consumed) {
            throw new IllegalStateException("the body of this call has been consumed already");
        }
        consumed = true;
        try (InputStream stream = body) {
            return dest.apply(stream);
        } catch (IOException e) {
            throw new UncheckedIOException("can't close the body of call " + callId, e);
        }
    }

    @Override
    public String getCallID() {
        return callId;
    }

    @Override
    public Instant getDeadline() {
        return deadline;
    }

    @Override
    public Headers getHeaders() {
        return headers;
    }

    @Override
    public void close() {
        consumed = true;
    }
}
