package io.thaw.fdk.runtime;

import com.fnproject.fn.api.Headers;
import java.io.PrintStream;

/** The line before each call's log lines by which a log reader tells calls apart. */
final class LogFrame {

    private final String name;
    private final String header;
    private final PrintStream[] streams;

    private LogFrame(String name, String header, PrintStream... streams) {
        this.name = name;
        this.header = header;
        this.streams = streams;
    }

    /**
     * @param name what the line calls the value; empty for no lines
     * @param header the request header whose value it tells; empty for no lines
     * @param streams where the lines go
     * @return the frame
     */
    static LogFrame of(String name, String header, PrintStream... streams) {
        return name.isEmpty() || header.isEmpty()
                ? new LogFrame("", "")
                : new LogFrame(name, header, streams);
    }

    void begin(Headers request) {
        if (streams.length == 0) {
            return;
        }
        String value = request.get(header).orElse("");
        if (!value.isEmpty()) {
            for (PrintStream stream : streams) {
                stream.println("\n" + name + "=" + value);
                stream.flush();
            }
        }
    }
}
