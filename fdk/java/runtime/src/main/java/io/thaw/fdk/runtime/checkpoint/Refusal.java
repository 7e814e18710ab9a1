package io.thaw.fdk.runtime.checkpoint;

import io.thaw.fdk.runtime.http.JsonText;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import jdk.crac.CheckpointException;

/**
 * Why there was no checkpoint, as the platform is told: {@code {"message", "causes": [{"resource", "class",
 * "message", "stack": [...], "causedBy": [{"class", "message"}, ...]}]}}. Each suppressed exception is a cause.
 *
 * <p>Bounded, since it goes into answers and logs: at most 16 causes, of each the innermost 24 frames.
 */
public final class Refusal {

    private static final int MAX_CAUSES = 16;
    private static final int MAX_FRAMES = 24;
    private static final int MAX_CHAIN = 8;
    private static final int MAX_MESSAGE = 2000;

    private final CheckpointException exception;
    private final Map<Throwable, String> resources;

    Refusal(CheckpointException exception) {
        this(exception, Map.of());
    }

    /** @param resources who threw which cause; looked up by identity, so an IdentityHashMap */
    Refusal(CheckpointException exception, Map<Throwable, String> resources) {
        this.exception = exception;
        this.resources = resources;
    }

    CheckpointException exception() {
        return exception;
    }

    /** @return the message that stands for all */
    public String message() {
        if (exception.getMessage() != null) {
            return exception.getMessage();
        }
        int causes = exception.getSuppressed().length;
        return "checkpoint vetoed by " + causes + " resource" + (causes == 1 ? "" : "s") + " of the function";
    }

    /** @return all of it as one JSON object */
    public String json() {
        List<String> causes = new ArrayList<>();
        for (Throwable cause : exception.getSuppressed()) {
            if (causes.size() == MAX_CAUSES) {
                break;
            }
            causes.add(cause(cause));
        }
        return "{\"message\":" + quote(message()) + ",\"causes\":[" + String.join(",", causes) + "]}";
    }

    private String cause(Throwable thrown) {
        StringBuilder out = new StringBuilder("{");
        String resource = resources.get(thrown);
        if (resource != null) {
            out.append("\"resource\":").append(quote(resource)).append(',');
        }
        out.append(named(thrown)).append(",\"stack\":[");
        StackTraceElement[] stack = thrown.getStackTrace();
        for (int i = 0; i < Math.min(stack.length, MAX_FRAMES); i++) {
            out.append(i == 0 ? "" : ",").append(quote(stack[i].toString()));
        }
        out.append("],\"causedBy\":[");
        Throwable inner = thrown.getCause();
        for (int i = 0; i < MAX_CHAIN && inner != null; i++, inner = inner.getCause()) {
            out.append(i == 0 ? "" : ",").append('{').append(named(inner)).append('}');
        }
        return out.append("]}").toString();
    }

    private static String named(Throwable thrown) {
        return "\"class\":" + quote(thrown.getClass().getName()) + ",\"message\":" + quote(message(thrown));
    }

    // The user's exceptions may do anything in their getMessage.
    private static String message(Throwable thrown) {
        try {
            return thrown.getMessage() == null ? "" : thrown.getMessage();
        } catch (RuntimeException e) {
            return "(its getMessage threw " + e.getClass().getName() + ")";
        }
    }

    private static String quote(String text) {
        return JsonText.quote(text.length() > MAX_MESSAGE ? text.substring(0, MAX_MESSAGE) + " [cut]" : text);
    }
}
