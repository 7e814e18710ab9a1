package io.thaw.fdk.runtime;

import io.thaw.fdk.runtime.checkpoint.CheckpointCycle;
import io.thaw.fdk.runtime.checkpoint.SocketDelegate;
import io.thaw.fdk.runtime.function.FunctionLoader;
import io.thaw.fdk.runtime.function.FunctionName;
import io.thaw.fdk.runtime.function.RuntimeConfig;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.Map;

/** The main program: {@code EntryPoint fully.qualified.Class::method}. */
public final class EntryPoint {

    /** Exit status: the command or the environment is wrong; starting again can't help. */
    static final int EXIT_USAGE = 2;
    /** Exit status: the socket can't be made or has broken. */
    static final int EXIT_SOCKET = 3;
    /** Exit status: the server itself failed, for want of memory for instance. */
    static final int EXIT_INTERNAL = 4;

    private static final String LISTENER_SCHEME = "unix:";
    // Where thaw-init takes a function's request to be dumped.
    private static final Path REQUEST_SOCKET = Path.of("/run/thaw/fn/request.sock");

    // Where thaw-init puts configuration of now.
    private static final Path RESTORE_TIME_CONFIG = Path.of("/run/thaw/fn/config.json");

    private EntryPoint() {
    }

    /**
     * Serves the function until the process is killed.
     *
     * @param args the function, as {@code fully.qualified.Class::method}
     */
    public static void main(String[] args) {
        PrintStream stdout = System.out;
        PrintStream stderr = System.err;
        // What a function prints is a log, whichever stream it prints to.
        System.setOut(stderr);
        System.exit(serve(args, System.getenv(), stdout, stderr));
    }

    private static int serve(String[] args, Map<String, String> environment, PrintStream stdout, PrintStream stderr) {
        SocketDelegate socket;
        CallHandler calls;
        try {
            if (args.length != 1) {
                throw new IllegalArgumentException(
                        "expected one argument, the function as fully.qualified.Class::method, but got " + args.length);
            }
            FunctionName function = FunctionName.parse(args[0]);
            RuntimeConfig config = new RuntimeConfig(environment, RESTORE_TIME_CONFIG);
            String format = config.get("FN_FORMAT");
            if (!format.isEmpty() && !format.equals("http-stream")) {
                throw new IllegalArgumentException(
                        "FN_FORMAT is \"" + format + "\" but this runtime speaks http-stream only");
            }
            socket = new SocketDelegate(listenerPath(config.get("FN_LISTENER")));
            calls = new CallHandler(
                    function,
                    config,
                    new FunctionLoader(Thread.currentThread().getContextClassLoader()),
                    LogFrame.of(config.get("FN_LOGFRAME_NAME"), config.get("FN_LOGFRAME_HDR"), stdout, stderr));
        } catch (IllegalArgumentException e) {
            stderr.println("thaw-fdk: " + e.getMessage());
            return EXIT_USAGE;
        }
        try {
            new FunctionServer(socket, calls, new CheckpointCycle(socket, REQUEST_SOCKET)).run();
        } catch (IOException e) {
            stderr.println("thaw-fdk: " + e.getMessage());
            return EXIT_SOCKET;
        } catch (RuntimeException | Error e) {
            // A thread that the function started must not keep a process alive that serves no more.
            stderr.println("thaw-fdk: the server failed");
            e.printStackTrace(stderr);
        }
        return EXIT_INTERNAL;
    }

    private static Path listenerPath(String listener) {
        if (!listener.startsWith(LISTENER_SCHEME + "/")) {
            throw new IllegalArgumentException("FN_LISTENER is \"" + listener
                    + "\" but has to be unix: and an absolute path, as unix:/tmp/iofs/lsnr.sock");
        }
        return Path.of(listener.substring(LISTENER_SCHEME.length()));
    }
}
