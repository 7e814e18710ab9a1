package io.thaw.fdk.runtime;

import io.thaw.crac.CheckpointHook;
import io.thaw.fdk.runtime.checkpoint.CheckpointCycle;
import io.thaw.fdk.runtime.checkpoint.Refusal;
import io.thaw.fdk.runtime.checkpoint.SocketDelegate;
import io.thaw.fdk.runtime.http.HttpConnection;
import io.thaw.fdk.runtime.http.HttpProtocolException;
import io.thaw.fdk.runtime.http.HttpRequest;
import io.thaw.fdk.runtime.http.JsonText;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.SocketChannel;

/**
 * Serves the platform's requests: calls, probes, checkpoints.
 *
 * <p>One thread, one connection, one request at a time, as Fn's contract has it: a second connection
 * waits until the first is closed. A single thread also is what a restore likes best, for threads are
 * frozen and thawed one by one.
 */
final class FunctionServer {

    private final SocketDelegate socket;
    private final CallHandler calls;
    private final CheckpointCycle checkpoints;

    FunctionServer(SocketDelegate socket, CallHandler calls, CheckpointCycle checkpoints) {
        this.socket = socket;
        this.calls = calls;
        this.checkpoints = checkpoints;
        CheckpointHook.install(checkpoints.wishes());
    }

    /**
     * Opens the socket and serves.
     *
     * @throws IOException when the socket can't be opened, or connections can't be accepted any more
     */
    void run() throws IOException {
        checkpoints.wishes().serveOnThisThread();
        socket.open();
        while (true) {
            try (SocketChannel channel = socket.accept()) {
                serve(channel);
            }
        }
    }

    // Ends when the connection does. A connection that breaks is the peer's affair: the next one may do
    // better, and a function must not end for it.
    void serve(SocketChannel channel) {
        try (HttpConnection connection = new HttpConnection(channel)) {
            do {
                HttpRequest request;
                try {
                    request = connection.readRequest();
                } catch (HttpProtocolException e) {
                    connection.closeAfterResponse();
                    send(connection, error(e.status(), e.getMessage()));
                    return;
                }
                if (request == null) {
                    return;
                }
                handle(connection, request);
            } while (connection.keepAlive());
        } catch (IOException e) {
            System.err.println("thaw-fdk: connection broke: " + e);
            if (e.getCause() != null) {
                e.getCause().printStackTrace();
            }
        }
    }

    private void handle(HttpConnection connection, HttpRequest request) throws IOException {
        switch (request.path()) {
            case "/call" -> {
                if (allowed(connection, request, "POST")) {
                    answerCall(connection, request);
                }
            }
            case "/thaw/probe" -> {
                if (allowed(connection, request, "GET")) {
                    send(connection, Reply.json(200, "{\"fdk\":" + JsonText.quote(FdkVersion.PRODUCT)
                            + ",\"calls\":" + calls.answered()
                            + ",\"loaded\":" + calls.loaded()
                            + ",\"restores\":" + checkpoints.restores()
                            + (checkpoints.failure().isEmpty() ? "" : ",\"checkpointFailure\":" + checkpoints.failure())
                            + "}"));
                }
            }
            case "/thaw/descriptors" -> {
                if (allowed(connection, request, "GET")) {
                    String known = OpenDescriptors.json();
                    send(connection, known != null ? Reply.json(200, known)
                            : error(404, "descriptors are not traced: start the JVM with the agent thaw-descriptors"));
                }
            }
            case "/thaw/checkpoint" -> {
                if (allowed(connection, request, "POST")) {
                    checkpoint(connection);
                }
            }
            default -> send(connection, error(404, "no such path: a function answers POST /call"));
        }
    }

    private void answerCall(HttpConnection connection, HttpRequest request) throws IOException {
        Reply reply = calls.answer(request);
        try {
            send(connection, reply);
        } catch (IOException | RuntimeException e) {
            // The function's own code writes the body, so it can fail here as well. An answer that is
            // cut short must not look whole: the connection is closed without its end.
            if (connection.responseBegun()) {
                throw new IOException("the answer broke off", e);
            }
            System.err.println("thaw-fdk: the function's answer can't be sent: " + e);
            send(connection, error(502, "the function's answer can't be sent: " + e.getMessage()));
        }
    }

    private void checkpoint(HttpConnection connection) throws IOException {
        Refusal refusal = checkpoints.prepare();
        if (refusal != null) {
            send(connection, Reply.json(409, refusal.json()));
            return;
        }
        connection.closeAfterResponse();
        try {
            send(connection, Reply.json(200, "{\"checkpoint\":\"ready\"}"));
        } catch (IOException e) {
            // Nobody knows that this function waits, so nobody would ever wake it.
            checkpoints.abandon();
            throw e;
        }
        connection.close();
        try {
            checkpoints.freeze();
        } catch (IOException e) {
            // Without its socket the function is of no use; accept() fails next and ends the process.
            System.err.println("thaw-fdk: " + e.getMessage());
        }
    }

    private static boolean allowed(HttpConnection connection, HttpRequest request, String method) throws IOException {
        if (request.method().equals(method)) {
            return true;
        }
        send(connection, error(405, "method not allowed: use " + method));
        return false;
    }

    private static Reply error(int status, String message) {
        return Reply.json(status, "{\"message\":" + JsonText.quote(message) + "}");
    }

    private static void send(HttpConnection connection, Reply reply) throws IOException {
        OutputStream out = connection.respond(reply.status(), reply.headers().asMap());
        reply.body().writeTo(out);
        // Not in a finally clause: closing is what tells the peer that the answer is whole.
        out.close();
    }
}
