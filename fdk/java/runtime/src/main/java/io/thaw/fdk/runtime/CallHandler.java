package io.thaw.fdk.runtime;

import com.fnproject.fn.api.Headers;
import com.fnproject.fn.api.OutputEvent;
import com.fnproject.fn.api.exception.FunctionInputHandlingException;
import com.fnproject.fn.api.exception.FunctionLoadException;
import com.fnproject.fn.api.exception.FunctionOutputHandlingException;
import io.thaw.fdk.runtime.function.FunctionFailedException;
import io.thaw.fdk.runtime.function.FunctionLoader;
import io.thaw.fdk.runtime.function.FunctionName;
import io.thaw.fdk.runtime.function.LoadedFunction;
import io.thaw.fdk.runtime.function.RuntimeConfig;
import io.thaw.fdk.runtime.http.HttpRequest;
import io.thaw.fdk.runtime.http.JsonText;
import java.time.Instant;
import java.time.format.DateTimeParseException;

/**
 * Answers calls. The function's class is loaded within the first one, so that its static blocks count
 * against the call's time and not against the container's start.
 *
 * <p>Statuses: what the function answers; 502 when it, or loading it, failed, and the process can take
 * the next call; 500 when the runtime failed or the class can't be initialised, which asks the platform
 * to replace the process. No exception of the function leaves this class.
 */
final class CallHandler {

    private final FunctionName name;
    private final RuntimeConfig config;
    private final FunctionLoader loader;
    private final LogFrame frame;
    private LoadedFunction function;
    private long answered;

    CallHandler(FunctionName name, RuntimeConfig config, FunctionLoader loader, LogFrame frame) {
        this.name = name;
        this.config = config;
        this.loader = loader;
        this.frame = frame;
    }

    /** @return how many calls this process has answered, failed ones included */
    long answered() {
        return answered;
    }

    /** @return whether the user's class is loaded */
    boolean loaded() {
        return function != null;
    }

    Reply answer(HttpRequest request) {
        answered++;
        Headers headers = Headers.fromMultiHeaderMap(request.headers());
        String callId = headers.get("Fn-Call-Id").orElse("");
        try {
            Instant deadline = deadline(headers);
            if (callId.isEmpty()) {
                throw new IllegalArgumentException("request has no Fn-Call-Id header");
            }
            frame.begin(headers);
            if (function == null) {
                function = loader.load(name, config);
            }
            return Reply.of(function.call(callId, deadline, headers, request.body()));
        } catch (FunctionFailedException e) {
            log("function " + name + " threw in call " + callId, e.getCause());
            return Reply.of(OutputEvent.emptyResult(OutputEvent.Status.FunctionError));
        } catch (FunctionLoadException | FunctionInputHandlingException | FunctionOutputHandlingException e) {
            log("call " + callId + " failed: " + e.getMessage(), e.getCause());
            return Reply.of(OutputEvent.emptyResult(OutputEvent.Status.FunctionError));
        } catch (LinkageError e) {
            // A class that failed to initialise stays unusable for the life of this JVM.
            log("class of function " + name + " can't be initialised", e);
            return internalError("function class can't be initialised", e);
        } catch (RuntimeException | Error e) {
            log("call " + callId + " failed in the runtime", e);
            return internalError("the runtime failed", e);
        } finally {
            // Functions set their thread's interrupted flag and return. On the thread that serves, it would
            // close the connection at the next read or write.
            Thread.interrupted();
        }
    }

    private static Instant deadline(Headers headers) {
        String text = headers.get("Fn-Deadline")
                .orElseThrow(() -> new IllegalArgumentException("request has no Fn-Deadline header"));
        try {
            return Instant.parse(text);
        } catch (DateTimeParseException e) {
            throw new IllegalArgumentException("Fn-Deadline is not an RFC 3339 time: " + text, e);
        }
    }

    private static Reply internalError(String message, Throwable why) {
        String json = "{\"message\":" + JsonText.quote(message) + ",\"detail\":" + JsonText.quote(String.valueOf(why)) + "}";
        return Reply.of(OutputEvent.fromBytes(
                json.getBytes(java.nio.charset.StandardCharsets.UTF_8),
                OutputEvent.Status.InternalError,
                "application/json"));
    }

    private static void log(String message, Throwable why) {
        System.err.println("thaw-fdk: " + message);
        if (why != null) {
            why.printStackTrace();
        }
    }
}
