package io.thaw.fdk.runtime.http;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class HttpConnectionTest {

    private static final Map<String, List<String>> NO_HEADERS = Map.of();
    private static final String CHUNKED =
            "POST /call?q=1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nX-A: 1\r\nx-a:  2 \r\n\r\n"
                    + "5;ext=1\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\n";
    private static final String PLAIN = "POST /call HTTP/1.1\r\nContent-Length: 2\r\n\r\nok";

    private static String body(HttpRequest request) throws IOException {
        return new String(request.body().readAllBytes(), StandardCharsets.ISO_8859_1);
    }

    private static void answer(HttpConnection connection, String text) throws IOException {
        OutputStream out = connection.respond(200, NO_HEADERS);
        out.write(text.getBytes(StandardCharsets.ISO_8859_1));
        out.close();
    }

    @Test
    void readsAChunkedRequestThatArrivesByteByByteAndTheOneBehindIt() throws Exception {
        HttpConnection connection = new HttpConnection(FakeChannel.byteByByte(CHUNKED + "\r\n" + PLAIN));
        HttpRequest first = connection.readRequest();
        assertEquals("POST", first.method());
        assertEquals("/call", first.path());
        assertEquals(List.of("1", "2"), first.headers().get("X-A"));
        assertEquals("hello!", body(first));
        answer(connection, "1");
        assertEquals("ok", body(connection.readRequest()));
        answer(connection, "2");
        assertTrue(connection.keepAlive());
        assertNull(connection.readRequest());
    }

    @Test
    void readsPastABodyThatTheFunctionLeft() throws Exception {
        HttpConnection connection = new HttpConnection(new FakeChannel(CHUNKED + PLAIN));
        connection.readRequest();
        answer(connection, "1");
        assertEquals("ok", body(connection.readRequest()));
    }

    @Test
    void closesRatherThanReadPastAHugeBody() throws Exception {
        String piece = "x".repeat(1024 * 1024);
        String[] pieces = new String[20];
        java.util.Arrays.fill(pieces, piece);
        pieces[0] = "POST /call HTTP/1.1\r\nContent-Length: 19922944\r\n\r\n";
        HttpConnection connection = new HttpConnection(new FakeChannel(pieces));
        connection.readRequest();
        answer(connection, "1");
        assertFalse(connection.keepAlive());
    }

    @Test
    void aSmallAnswerIsOneWriteWithALength() throws Exception {
        FakeChannel channel = new FakeChannel(PLAIN);
        HttpConnection connection = new HttpConnection(channel);
        connection.readRequest();
        OutputStream out = connection.respond(200, Map.of("Content-Type", List.of("text/plain")));
        assertFalse(connection.responseBegun());
        out.write('a');
        out.flush();
        out.write("bc".getBytes(StandardCharsets.US_ASCII));
        assertEquals(0, channel.writes);
        out.close();
        assertTrue(connection.responseBegun());
        assertEquals(1, channel.writes);
        assertEquals("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc", channel.written());
    }

    @Test
    void aLargeAnswerIsChunked() throws Exception {
        FakeChannel channel = new FakeChannel(PLAIN);
        HttpConnection connection = new HttpConnection(channel);
        connection.readRequest();
        OutputStream out = connection.respond(200, NO_HEADERS);
        byte[] large = "0123456789".repeat(10_000).getBytes(StandardCharsets.US_ASCII);
        out.write("begin".getBytes(StandardCharsets.US_ASCII));
        out.write(large);
        for (int i = 0; i < 50_000; i++) {
            out.write('z');
        }
        out.close();
        String answer = channel.written();
        int headEnd = answer.indexOf("\r\n\r\n") + 4;
        assertTrue(answer.substring(0, headEnd).contains("Transfer-Encoding: chunked"), answer.substring(0, headEnd));
        HttpConnection reader = new HttpConnection(new FakeChannel(
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + answer.substring(headEnd)));
        String body = body(reader.readRequest());
        assertEquals("begin" + "0123456789".repeat(10_000) + "z".repeat(50_000), body);
        assertNull(reader.readRequest());
    }

    @Test
    void toAnHttp10PeerALargeAnswerEndsWithTheConnection() throws Exception {
        FakeChannel channel = new FakeChannel("POST /call HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        HttpConnection connection = new HttpConnection(channel);
        connection.readRequest();
        assertTrue(connection.keepAlive());
        answer(connection, "x".repeat(100_000));
        assertFalse(connection.keepAlive());
        assertTrue(channel.written().endsWith("x".repeat(100_000)));
        assertTrue(channel.written().contains("Connection: close\r\n"));
        assertFalse(channel.written().contains("keep-alive"));
    }

    @Test
    void connectionCloseIsHeardAndSaid() throws Exception {
        FakeChannel channel = new FakeChannel("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n");
        HttpConnection connection = new HttpConnection(channel);
        connection.readRequest();
        answer(connection, "");
        assertFalse(connection.keepAlive());
        assertEquals("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", channel.written());
    }

    @Test
    void asksForABodyOnlyWhenTheFunctionReadsIt() throws Exception {
        String request = "POST /call HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok";
        FakeChannel channel = new FakeChannel(request);
        HttpConnection connection = new HttpConnection(channel);
        HttpRequest read = connection.readRequest();
        assertEquals("", channel.written());
        assertEquals("ok", body(read));
        assertEquals("HTTP/1.1 100 Continue\r\n\r\n", channel.written());

        HttpConnection unread = new HttpConnection(new FakeChannel(request));
        unread.readRequest();
        answer(unread, "");
        assertFalse(unread.keepAlive());
    }

    @Test
    void headersThatFrameTheMessageAreOurs() throws Exception {
        FakeChannel channel = new FakeChannel(PLAIN);
        HttpConnection connection = new HttpConnection(channel);
        connection.readRequest();
        connection.respond(200, Map.of("Content-Length", List.of("99"), "Transfer-Encoding", List.of("chunked"),
                "Connection", List.of("upgrade"))).close();
        assertEquals("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", channel.written());
    }

    @Test
    void aHeaderWithALineBreakIsRefusedAndNothingIsSent() throws Exception {
        FakeChannel channel = new FakeChannel(PLAIN);
        HttpConnection connection = new HttpConnection(channel);
        connection.readRequest();
        assertThrows(IllegalArgumentException.class,
                () -> connection.respond(200, Map.of("X", List.of("a\r\nSet-Cookie: b"))));
        assertThrows(IllegalArgumentException.class, () -> connection.respond(200, Map.of("X y", List.of("a"))));
        assertEquals("", channel.written());
        assertFalse(connection.responseBegun());
    }

    @ParameterizedTest
    @CsvSource({
        "400, 'nonsense\r\n\r\n'",
        "400, 'POST /call HTTP/1.1\r\nno colon\r\n\r\n'",
        "400, 'POST /call HTTP/1.1\r\nA: 1\r\n folded\r\n\r\n'",
        "400, 'POST /call HTTP/1.1\r\nContent-Length: -1\r\n\r\n'",
        "400, 'POST /call HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'",
        "400, 'POST /call HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n'",
        "501, 'POST /call HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n'",
        "505, 'POST /call HTTP/2.0\r\n\r\n'",
    })
    void malformedHeadsAreRefused(int status, String head) {
        HttpConnection connection = new HttpConnection(new FakeChannel(head));
        HttpProtocolException e = assertThrows(HttpProtocolException.class, connection::readRequest);
        assertEquals(status, e.status());
    }

    @Test
    void aHeadBeyondTheLimitIsRefusedAndOneBelowIsRead() throws Exception {
        String value = "v".repeat(1_000_000);
        HttpConnection fits = new HttpConnection(new FakeChannel("GET / HTTP/1.1\r\nA: " + value + "\r\n\r\n" + PLAIN));
        assertEquals(value, fits.readRequest().headers().get("a").get(0));
        answer(fits, "");
        assertEquals("ok", body(fits.readRequest()));

        HttpConnection large = new HttpConnection(
                new FakeChannel("GET / HTTP/1.1\r\nA: " + "v".repeat(HttpConnection.MAX_HEAD_BYTES)));
        assertEquals(431, assertThrows(HttpProtocolException.class, large::readRequest).status());
        HttpConnection many = new HttpConnection(
                new FakeChannel("GET / HTTP/1.1\r\n" + "A: b\r\n".repeat(HttpConnection.MAX_HEADERS + 1) + "\r\n"));
        assertEquals(431, assertThrows(HttpProtocolException.class, many::readRequest).status());
    }

    @Test
    void aConnectionThatBreaksWithinARequestIsAnError() throws Exception {
        assertThrows(EOFException.class, new HttpConnection(new FakeChannel("POST /ca"))::readRequest);
        HttpRequest cut = new HttpConnection(new FakeChannel("POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nab")).readRequest();
        assertThrows(EOFException.class, () -> body(cut));
        HttpRequest badChunk = new HttpConnection(
                new FakeChannel("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")).readRequest();
        assertThrows(HttpProtocolException.class, () -> body(badChunk));
    }
}
