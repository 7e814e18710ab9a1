package io.thaw.fdk.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fnproject.fn.api.InvocationContext;
import com.fnproject.fn.api.OutputEvent;
import io.thaw.fdk.runtime.checkpoint.CheckpointCycle;
import io.thaw.fdk.runtime.checkpoint.FakeInit;
import io.thaw.fdk.runtime.checkpoint.SocketDelegate;
import io.thaw.fdk.runtime.function.FunctionLoader;
import io.thaw.fdk.runtime.function.FunctionName;
import io.thaw.fdk.runtime.function.RuntimeConfig;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import jdk.crac.CheckpointException;
import jdk.crac.Context;
import jdk.crac.Core;
import jdk.crac.Resource;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The server on a real socket, called as the platform calls it. */
@Timeout(30)
class FunctionServerTest {

    private static final List<String> STEPS = new CopyOnWriteArrayList<>();
    // Registered resources are held weakly, so the tests keep theirs.
    private static final List<Recorder> RECORDERS = new CopyOnWriteArrayList<>();

    @TempDir
    Path directory;

    private final ByteArrayOutputStream frames = new ByteArrayOutputStream();
    private Path name;
    private SocketDelegate socket;
    private Thread thread;
    private FakeInit init;

    @BeforeEach
    void prepare() throws IOException {
        STEPS.clear();
        Files.createDirectory(directory.resolve("iofs"));
        name = directory.resolve("iofs/lsnr.sock");
        init = new FakeInit(directory);
    }

    @AfterEach
    void stop() throws Exception {
        if (socket != null) {
            socket.close();
            thread.join();
        }
        init.close();
        RECORDERS.forEach(recorder -> recorder.retired = true);
        RECORDERS.clear();
    }

    private void start(Class<?> type, String method) throws Exception {
        socket = new SocketDelegate(name);
        CallHandler calls = new CallHandler(new FunctionName(type.getName(), method), new RuntimeConfig(Map.of()),
                new FunctionLoader(getClass().getClassLoader()),
                LogFrame.of("call", "Fn-Call-Id", new PrintStream(frames, true)));
        FunctionServer server = new FunctionServer(socket, calls, new CheckpointCycle(socket, init.socket()));
        thread = new Thread(() -> {
            try {
                server.run();
            } catch (IOException | RuntimeException e) {
                STEPS.add("server ended");
            }
        });
        thread.start();
        awaitSocket();
    }

    private void awaitSocket() throws InterruptedException {
        while (!Files.exists(name)) {
            Thread.sleep(1);
        }
    }

    /** One connection, on which requests are sent and whole answers read. */
    private static final class Peer implements AutoCloseable {
        private final SocketChannel channel;

        Peer(Path name) throws IOException {
            channel = SocketChannel.open(UnixDomainSocketAddress.of(name.toRealPath()));
        }

        String send(String request) throws IOException {
            channel.write(ByteBuffer.wrap(request.getBytes(StandardCharsets.ISO_8859_1)));
            ByteArrayOutputStream answer = new ByteArrayOutputStream();
            ByteBuffer piece = ByteBuffer.allocate(65536);
            while (channel.read(piece.clear()) >= 0) {
                answer.write(piece.array(), 0, piece.position());
                String text = answer.toString(StandardCharsets.ISO_8859_1);
                int head = text.indexOf("\r\n\r\n");
                int length = text.indexOf("Content-Length: ");
                if (head >= 0 && length >= 0 && length < head) {
                    int wanted = Integer.parseInt(text.substring(length + 16, text.indexOf('\r', length)));
                    if (text.length() == head + 4 + wanted) {
                        return text;
                    }
                }
            }
            return answer.toString(StandardCharsets.ISO_8859_1) + "<closed>";
        }

        String call(String body) throws IOException {
            return send("POST /call HTTP/1.1\r\nHost: localhost\r\nFn-Call-Id: c7\r\nFn-Deadline: 2030-01-01T00:00:00Z\r\n"
                    + "Content-Length: " + body.length() + "\r\n\r\n" + body);
        }

        boolean closed() throws IOException {
            return channel.read(ByteBuffer.allocate(1)) < 0;
        }

        @Override
        public void close() throws IOException {
            channel.close();
        }
    }

    private String once(String request) throws IOException {
        try (Peer peer = new Peer(name)) {
            return peer.send(request);
        }
    }

    private static int status(String answer) {
        return Integer.parseInt(answer.substring(9, 12));
    }

    // ------------------------------------------------------------ functions

    public static class Loaded {
        private int calls;

        public String echo(String in) {
            return in + ++calls;
        }
    }

    /** For one test only: a class is loaded once. */
    public static class Lazy {
        static {
            STEPS.add("class loaded");
        }

        public String echo(String in) {
            return in;
        }
    }

    public static class Failing {
        static {
            if (true) {
                throw new IllegalStateException("static block");
            }
        }

        public String call(String in) {
            return in;
        }
    }

    public static class Misbehaving {
        public OutputEvent call(String in, InvocationContext context) {
            switch (in) {
                case "throw":
                    throw new IllegalStateException("on purpose");
                case "error":
                    throw new StackOverflowError("on purpose");
                case "header":
                    context.setResponseHeader("X", "a\nb");
                    return OutputEvent.emptyResult(OutputEvent.Status.Success);
                case "early":
                case "late":
                    return new OutputEvent() {
                        @Override
                        public Status getStatus() {
                            return Status.Success;
                        }

                        @Override
                        public com.fnproject.fn.api.Headers getHeaders() {
                            return com.fnproject.fn.api.Headers.emptyHeaders();
                        }

                        @Override
                        public void writeToOutput(OutputStream out) throws IOException {
                            out.write(new byte[in.equals("late") ? 500_000 : 10]);
                            throw new IllegalStateException("broke off");
                        }
                    };
                case "interrupt":
                    Thread.currentThread().interrupt();
                    return OutputEvent.emptyResult(OutputEvent.Status.Success);
                case "checkpoint":
                    try {
                        Core.checkpointRestore();
                        return OutputEvent.emptyResult(OutputEvent.Status.FunctionTimeout);
                    } catch (CheckpointException | jdk.crac.RestoreException e) {
                        return OutputEvent.fromBytes(e.getMessage().getBytes(StandardCharsets.UTF_8),
                                OutputEvent.Status.Success, "text/plain");
                    }
                default:
                    return OutputEvent.emptyResult(OutputEvent.Status.valueOf(in));
            }
        }
    }

    private static final class Recorder implements Resource {
        private final String name;
        private volatile boolean veto;
        private volatile boolean fail;
        // The collector may leave it in the global context beyond its test.
        private volatile boolean retired;

        Recorder(String name) {
            this.name = name;
            RECORDERS.add(this);
            Core.getGlobalContext().register(this);
        }

        @Override
        public void beforeCheckpoint(Context<? extends Resource> context) {
            if (retired) {
                return;
            }
            STEPS.add("before " + name);
            if (veto) {
                throw new IllegalStateException("\"" + name + "\" is busy", new IOException());
            }
        }

        @Override
        public void afterRestore(Context<? extends Resource> context) {
            if (!retired) {
                STEPS.add("after " + name);
                if (fail) {
                    throw new IllegalStateException(name + " is lost");
                }
            }
        }

        @Override
        public String toString() {
            return "recorder " + name;
        }
    }

    // ------------------------------------------------------------ calls

    @Test
    void theSocketAppearsAsARelativeLinkToOneThatAllMayUse() throws Exception {
        start(Loaded.class, "echo");
        Path target = Files.readSymbolicLink(name);
        assertNull(target.getParent());
        assertEquals("rw-rw-rw-",
                PosixFilePermissions.toString(Files.getPosixFilePermissions(name.getParent().resolve(target))));
    }

    @Test
    void withoutTheAgentWhoOpenedWhatIsNotKnown() throws Exception {
        start(Lazy.class, "echo");
        String answer = once("GET /thaw/descriptors HTTP/1.1\r\n\r\n");
        assertEquals(404, status(answer));
        assertTrue(answer.contains("thaw-descriptors"), answer);
    }

    @Test
    void probeAnswersWithoutLoadingTheClassAndTheFirstCallLoadsIt() throws Exception {
        start(Lazy.class, "echo");
        String probe = once("GET /thaw/probe HTTP/1.1\r\n\r\n");
        assertEquals(200, status(probe));
        assertTrue(probe.contains("\"loaded\":false"), probe);
        assertEquals(List.of(), STEPS);
        try (Peer peer = new Peer(name)) {
            assertTrue(peer.call("x").endsWith("\r\n\r\nx"));
            assertTrue(peer.call("y").endsWith("\r\n\r\ny"));
        }
        assertEquals(List.of("class loaded"), STEPS);
    }

    @Test
    void answersCarryTypeAndVersions() throws Exception {
        start(Loaded.class, "echo");
        try (Peer peer = new Peer(name)) {
            String answer = peer.call("x");
            assertEquals(200, status(answer));
            assertTrue(answer.contains("Content-Type: text/plain\r\n"), answer);
            assertTrue(answer.contains("Fn-Fdk-Version: thaw-fdk-java/0.1.0 (jvm="), answer);
            assertTrue(answer.contains("Fn-Fdk-Runtime: java/"), answer);
        }
        assertEquals("\ncall=c7\n", frames.toString());
    }

    @Test
    void functionsThatFailAnswer502AndStayUsable() throws Exception {
        start(Misbehaving.class, "call");
        try (Peer peer = new Peer(name)) {
            for (String fault : List.of("throw", "error", "header", "early", "FunctionError")) {
                assertEquals(502, status(peer.call(fault)), fault);
            }
            assertEquals(504, status(peer.call("FunctionTimeout")));
            assertEquals(200, status(peer.call("Success")));
        }
    }

    @Test
    void anInterruptOfTheServingThreadCostsNoCall() throws Exception {
        start(Misbehaving.class, "call");
        try (Peer peer = new Peer(name)) {
            assertEquals(200, status(peer.call("interrupt")));
            assertEquals(200, status(peer.call("Success")));
        }
        Path before = Files.readSymbolicLink(name);
        thread.interrupt();
        for (Path now = before; now.equals(before); Thread.sleep(1)) {
            try {
                now = Files.readSymbolicLink(name);
            } catch (NoSuchFileException e) {
                // Just between the two.
            }
        }
        try (Peer peer = new Peer(name)) {
            assertEquals(200, status(peer.call("Success")));
        }
    }

    @Test
    void anAnswerThatBreaksOffDoesNotLookWhole() throws Exception {
        start(Misbehaving.class, "call");
        try (Peer peer = new Peer(name)) {
            String answer = peer.call("late");
            assertTrue(answer.endsWith("<closed>"));
            assertFalse(answer.contains("\r\n0\r\n\r\n"));
        }
        try (Peer peer = new Peer(name)) {
            assertEquals(200, status(peer.call("Success")));
        }
    }

    @Test
    void aClassThatCannotBeInitialisedAsksForAnotherProcess() throws Exception {
        start(Failing.class, "call");
        try (Peer peer = new Peer(name)) {
            String answer = peer.call("x");
            assertEquals(500, status(answer));
            assertTrue(answer.contains("\"message\":\"function class can't be initialised\""), answer);
            assertEquals(500, status(peer.call("x")));
        }
    }

    @Test
    void aMethodThatIsNotThereIs502() throws Exception {
        start(Loaded.class, "missing");
        try (Peer peer = new Peer(name)) {
            assertEquals(502, status(peer.call("x")));
        }
    }

    @Test
    void requestsThatAreNotThePlatformsAreRefused() throws Exception {
        start(Loaded.class, "echo");
        assertEquals(500, status(once("POST /call HTTP/1.1\r\nFn-Deadline: 2030-01-01T00:00:00Z\r\n\r\n")));
        assertEquals(500, status(once("POST /call HTTP/1.1\r\nFn-Call-Id: c\r\n\r\n")));
        assertEquals(500, status(once("POST /call HTTP/1.1\r\nFn-Call-Id: c\r\nFn-Deadline: soon\r\n\r\n")));
        assertEquals(405, status(once("GET /call HTTP/1.1\r\n\r\n")));
        assertEquals(404, status(once("POST /other HTTP/1.1\r\n\r\n")));
        assertEquals(400, status(once("garbage\r\n\r\n")));
        assertEquals(List.of(), STEPS);
    }

    // ------------------------------------------------------------ checkpoints

    private static final String CHECKPOINT = "POST /thaw/checkpoint HTTP/1.1\r\nContent-Length: 0\r\n\r\n";

    @Test
    void aCheckpointClosesTheSocketWaitsForTheMarkerAndOpensItAgain() throws Exception {
        start(Loaded.class, "echo");
        new Recorder("first");
        new Recorder("second");
        try (Peer peer = new Peer(name)) {
            peer.call("a");
            STEPS.clear();
            String answer = peer.send(CHECKPOINT);
            assertEquals(200, status(answer));
            assertTrue(answer.contains("Connection: close\r\n"), answer);
            assertTrue(peer.closed());
        }
        Path marker = init.takeRequest();
        assertEquals(List.of("before second", "before first"), STEPS);
        try (var left = Files.list(name.getParent())) {
            assertEquals(List.of(), left.toList());
        }
        FakeInit.resume(marker);
        awaitSocket();
        String probe = once("GET /thaw/probe HTTP/1.1\r\n\r\n");
        assertTrue(probe.contains("\"restores\":1"), probe);
        assertEquals(List.of("before second", "before first", "after first", "after second"), STEPS);
        try (Peer peer = new Peer(name)) {
            assertTrue(peer.call("b").endsWith("\r\n\r\nb2"));
        }
        // A second one, in which the first one's marker must wake nobody.
        assertEquals(200, status(once(CHECKPOINT)));
        Path next = init.takeRequest();
        assertFalse(Files.exists(name));
        FakeInit.resume(next);
        awaitSocket();
        assertTrue(once("GET /thaw/probe HTTP/1.1\r\n\r\n").contains("\"restores\":2"));
    }

    @Test
    void aVetoIs409WithTheCausesAndTheFunctionServesOn() throws Exception {
        start(Loaded.class, "echo");
        new Recorder("first");
        Recorder second = new Recorder("second");
        second.veto = true;
        try (Peer peer = new Peer(name)) {
            String answer = peer.send(CHECKPOINT);
            assertEquals(409, status(answer));
            assertTrue(answer.contains("{\"message\":\"checkpoint vetoed by 1 resource of the function\",\"causes\":[{\"resource\":"
                    + "\"recorder second\",\"class\":\"java.lang.IllegalStateException\",\"message\":\"\\\"second\\\" is busy\",\"stack\":["
                    + "\"io.thaw.fdk.runtime.FunctionServerTest$Recorder.beforeCheckpoint(FunctionServerTest.java:"), answer);
            assertTrue(answer.endsWith("],\"causedBy\":[{\"class\":\"java.io.IOException\",\"message\":\"\"}]}]}"), answer);
            assertEquals(List.of("before second", "before first", "after first", "after second"), STEPS);
            assertEquals(200, status(peer.call("x")));
        }
    }

    @Test
    void withoutThawInitACheckpointIsRefusedBeforeAnybodyIsTold() throws Exception {
        start(Loaded.class, "echo");
        new Recorder("r");
        init.close();
        try (Peer peer = new Peer(name)) {
            String answer = peer.send(CHECKPOINT);
            assertEquals(409, status(answer));
            assertTrue(answer.contains("no thaw-init"), answer);
            assertEquals(200, status(peer.call("x")));
        }
        assertFalse(STEPS.contains("before r"));
    }

    @Test
    void anInitThatNamesNoMarkerLetsTheFunctionServeOn() throws Exception {
        start(Loaded.class, "echo");
        new Recorder("r");
        assertEquals(200, status(once(CHECKPOINT)));
        init.answer("no\n");
        awaitSocket();
        assertTrue(once("GET /thaw/probe HTTP/1.1\r\n\r\n").contains("\"restores\":0"));
        assertEquals(List.of("before r", "after r"), STEPS);
    }

    @Test
    void theReasonOfADumpThatFailedIsKeptAndTheResourcesAreTold() throws Exception {
        start(Loaded.class, "echo");
        new Recorder("r");
        assertEquals(200, status(once(CHECKPOINT)));
        FakeInit.refuse(init.takeRequest(), "criu: no room");
        awaitSocket();
        String probe = once("GET /thaw/probe HTTP/1.1\r\n\r\n");
        assertTrue(probe.contains("\"restores\":0,\"checkpointFailure\":{\"message\":\"criu: no room\",\"causes\":[]}"), probe);
        assertEquals(List.of("before r", "after r"), STEPS);
    }

    // ------------------------------------------------------------ checkpoints that user code asks for

    /** What {@code Core.checkpointRestore()} does on a thread of the user's own; the outcome is a step. */
    private static Thread ask() {
        Thread asking = new Thread(() -> {
            try {
                Core.checkpointRestore();
                STEPS.add("returned");
            } catch (Exception e) {
                STEPS.add(e.getClass().getSimpleName() + ": " + e.getMessage() + " " + List.of(e.getSuppressed()));
            }
        });
        asking.start();
        return asking;
    }

    @Test
    void withinACallACheckpointIsRefusedWithTheReason() throws Exception {
        start(Misbehaving.class, "call");
        try (Peer peer = new Peer(name)) {
            String answer = peer.call("checkpoint");
            assertEquals(200, status(answer));
            assertTrue(answer.contains("ask from a thread of your own"), answer);
        }
    }

    @Test
    void aThreadOfTheUsersReturnsAfterTheCheckpointAndAfterTheResources() throws Exception {
        start(Loaded.class, "echo");
        once("GET /thaw/probe HTTP/1.1\r\n\r\n");
        new Recorder("r");
        Thread asking = ask();
        Path refusal = init.takeWish();
        assertEquals(200, status(once(CHECKPOINT)));
        Path marker = init.takeRequest();
        assertEquals(List.of("before r"), STEPS);
        assertTrue(asking.isAlive(), "it waits while the process is frozen");
        FakeInit.resume(marker);
        asking.join();
        assertEquals(List.of("before r", "after r", "returned"), STEPS);
        assertFalse(Files.exists(refusal));
    }

    @Test
    void allThreadsThatWaitShareOneWish() throws Exception {
        start(Loaded.class, "echo");
        Thread one = ask();
        init.takeWish();
        Thread two = ask();
        while (two.getState() != Thread.State.TIMED_WAITING) {
            Thread.sleep(1);
        }
        assertEquals(200, status(once(CHECKPOINT)));
        FakeInit.resume(init.takeRequest());
        one.join();
        two.join();
        assertEquals(List.of("returned", "returned"), STEPS);
    }

    @Test
    void aWishThatThePlatformRefusesThrowsItsReasonAndTheNextOneIsNew() throws Exception {
        start(Loaded.class, "echo");
        Thread asking = ask();
        FakeInit.refuse(init.takeWish(), "function hello has a snapshot already");
        asking.join();
        Thread again = ask();
        FakeInit.refuse(init.takeWish(), "still");
        again.join();
        assertEquals(List.of("CheckpointException: function hello has a snapshot already "
                + "[java.lang.IllegalStateException: function hello has a snapshot already]",
                "CheckpointException: still [java.lang.IllegalStateException: still]"),
                STEPS);
    }

    @Test
    void aVetoReachesTheThreadThatAskedWithEveryCauseSuppressed() throws Exception {
        start(Loaded.class, "echo");
        Recorder first = new Recorder("first");
        Recorder second = new Recorder("second");
        first.veto = true;
        second.veto = true;
        Thread asking = ask();
        init.takeWish();
        assertEquals(409, status(once(CHECKPOINT)));
        asking.join();
        assertEquals("CheckpointException: null [java.lang.IllegalStateException: \"second\" is busy, "
                + "java.lang.IllegalStateException: \"first\" is busy]", STEPS.get(STEPS.size() - 1));
    }

    @Test
    void aDumpThatFailedThrowsInTheThreadThatAsked() throws Exception {
        start(Loaded.class, "echo");
        Thread asking = ask();
        init.takeWish();
        assertEquals(200, status(once(CHECKPOINT)));
        FakeInit.refuse(init.takeRequest(), "criu: no room");
        asking.join();
        assertEquals(List.of("CheckpointException: criu: no room [java.lang.IllegalStateException: criu: no room]"), STEPS);
    }

    @Test
    void aResourceThatFailsAfterTheRestoreThrowsInTheThreadThatAsked() throws Exception {
        start(Loaded.class, "echo");
        Recorder r = new Recorder("r");
        r.fail = true;
        Thread asking = ask();
        init.takeWish();
        assertEquals(200, status(once(CHECKPOINT)));
        FakeInit.resume(init.takeRequest());
        asking.join();
        assertEquals("RestoreException: null [java.lang.IllegalStateException: r is lost]", STEPS.get(STEPS.size() - 1));
    }

    @Test
    void withoutThawInitNoCheckpointCanBeAskedFor() throws Exception {
        start(Loaded.class, "echo");
        init.close();
        ask().join();
        assertTrue(STEPS.get(0).startsWith("UnsupportedOperationException: no checkpoint without thaw-init"), STEPS.get(0));
    }

    // ------------------------------------------------------------ the main program

    private static String[] run(Map<String, String> environment, String... arguments) throws Exception {
        List<String> command = new java.util.ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-XX:TieredStopAtLevel=1",
                "-cp", System.getProperty("java.class.path"), EntryPoint.class.getName()));
        command.addAll(List.of(arguments));
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().putAll(environment);
        Process process = builder.start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        return new String[] {Integer.toString(process.waitFor()), output};
    }

    @Test
    void theMainProgramSaysWhatIsWrongWithItsCommandOrEnvironment() throws Exception {
        String[] none = run(Map.of());
        assertEquals("2", none[0], none[1]);
        assertTrue(none[1].contains("expected one argument"), none[1]);
        String[] listener = run(Map.of("FN_LISTENER", "tcp:1"), "a.B::c");
        assertEquals("2", listener[0], listener[1]);
        assertTrue(listener[1].contains("FN_LISTENER is \"tcp:1\""), listener[1]);
        String[] format = run(Map.of("FN_LISTENER", "unix:/x", "FN_FORMAT", "json"), "a.B::c");
        assertEquals("2", format[0], format[1]);
        String[] directoryMissing = run(Map.of("FN_LISTENER", "unix:/no/such/lsnr.sock"), "a.B::c");
        assertEquals("3", directoryMissing[0], directoryMissing[1]);
        assertTrue(directoryMissing[1].contains("/no/such/lsnr.sock"), directoryMissing[1]);
        assertThrows(IOException.class, () -> new SocketDelegate(Path.of("/no/such/lsnr.sock")).open());
    }
}
