package io.thaw.fdk.runtime;

import com.fnproject.fn.api.Headers;
import com.fnproject.fn.api.OutputEvent;
import java.io.IOException;
import java.io.OutputStream;
import java.util.Map;

/**
 * An answer of the runtime: its status, its headers, and what writes its body.
 *
 * @param status the HTTP status
 * @param headers the headers, complete but for those that frame the message
 * @param body writes the body
 */
record Reply(int status, Headers headers, Body body) {

    /** Writes a body. */
    interface Body {
        void writeTo(OutputStream out) throws IOException;
    }

    /** The answer of a function, or of the runtime in its stead. */
    static Reply of(OutputEvent event) {
        Headers headers = event.getHeaders();
        if (event.getContentType().isEmpty()) {
            headers = headers.setHeader(OutputEvent.CONTENT_TYPE_HEADER, "application/octet-stream");
        }
        headers = headers.setHeader("Fn-Fdk-Version", FdkVersion.FDK).setHeader("Fn-Fdk-Runtime", FdkVersion.RUNTIME);
        return new Reply(event.getStatus().getCode(), headers, event::writeToOutput);
    }

    /** An answer of the runtime itself. */
    static Reply json(int status, String json) {
        byte[] bytes = json.getBytes(java.nio.charset.StandardCharsets.UTF_8);
        return new Reply(
                status,
                Headers.fromMap(Map.of(
                        OutputEvent.CONTENT_TYPE_HEADER, "application/json", "Fn-Fdk-Version", FdkVersion.FDK)),
                out -> out.write(bytes));
    }
}
