package io.thaw.fdk.runtime.http;

import java.io.Closeable;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.channels.ByteChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

/**
 * One connection from the platform: requests one after another, each answered before the next is read.
 *
 * <p>Use: {@link #readRequest}, then {@link #respond} and close the stream it gives, again and again
 * until readRequest returns null or {@link #keepAlive} is false. Header text is ISO 8859-1 both ways,
 * so bytes pass unchanged.
 *
 * <p>Threads: one at a time. Ownership: closing it closes the channel.
 */
public final class HttpConnection implements Closeable {

    /** The longest request head, in bytes: what the platform lets through, and room for its own. */
    public static final int MAX_HEAD_BYTES = 1_114_112;
    /** The most header lines of a request. */
    public static final int MAX_HEADERS = 2_000;
    /** How much of a body that the function left unread is read past, to keep the connection. */
    static final long MAX_DISCARD_BYTES = 16L * 1024 * 1024;

    // Also the most that goes to or comes from the channel in one piece: the JDK keeps a direct buffer
    // per thread as large as the largest piece, and that would lie in the checkpoint.
    private static final int BUFFER_BYTES = 32 * 1024;
    private static final int MAX_CHUNK_LINE_BYTES = 4 * 1024;
    private static final byte[] CONTINUE = ascii("HTTP/1.1 100 Continue\r\n\r\n");

    private final ByteChannel channel;
    private byte[] in = new byte[BUFFER_BYTES];
    private int inPos;
    private int inEnd;
    private final byte[] out = new byte[BUFFER_BYTES];
    private Body body;
    private boolean http10;
    private boolean keepAlive = true;
    private boolean responseBegun;

    /** @param channel a connected channel in blocking mode */
    public HttpConnection(ByteChannel channel) {
        this.channel = channel;
    }

    /** @return whether another request may follow the one answered last */
    public boolean keepAlive() {
        return keepAlive;
    }

    /** Makes the next answer the last one of this connection. */
    public void closeAfterResponse() {
        keepAlive = false;
    }

    /** @return whether bytes of the answer to the request read last have been sent */
    public boolean responseBegun() {
        return responseBegun;
    }

    /**
     * Waits for the next request and reads its head.
     *
     * @return the request; null when the peer has closed the connection between two requests
     * @throws HttpProtocolException when the head is malformed or too large
     * @throws IOException when the connection breaks
     */
    public HttpRequest readRequest() throws IOException {
        body = null;
        responseBegun = false;
        int headLength = readHead();
        if (headLength < 0) {
            return null;
        }
        int pos = inPos;
        int headEnd = inPos + headLength;
        inPos = headEnd;

        int lineEnd = lineEnd(pos, headEnd);
        int firstSpace = indexOf((byte) ' ', pos, lineEnd);
        int secondSpace = firstSpace < 0 ? -1 : indexOf((byte) ' ', firstSpace + 1, lineEnd);
        if (firstSpace <= pos || secondSpace <= firstSpace + 1) {
            throw new HttpProtocolException(400, "malformed request line");
        }
        String method = text(pos, firstSpace);
        int query = indexOf((byte) '?', firstSpace + 1, secondSpace);
        String path = text(firstSpace + 1, query < 0 ? secondSpace : query);
        String version = text(secondSpace + 1, trimEnd(secondSpace + 1, lineEnd));
        http10 = version.equals("HTTP/1.0");
        if (!http10 && !version.equals("HTTP/1.1")) {
            throw new HttpProtocolException(505, "HTTP version not supported: use HTTP/1.1");
        }

        Map<String, List<String>> headers = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
        int count = 0;
        for (pos = lineEnd + 1; pos < headEnd; pos = lineEnd + 1) {
            lineEnd = lineEnd(pos, headEnd);
            int end = trimEnd(pos, lineEnd);
            if (end == pos) {
                break;
            }
            if (++count > MAX_HEADERS) {
                throw new HttpProtocolException(431, "more than " + MAX_HEADERS + " request headers");
            }
            int colon = indexOf((byte) ':', pos, end);
            if (colon <= pos || !isToken(pos, colon)) {
                throw new HttpProtocolException(400, "malformed request header");
            }
            int valueStart = colon + 1;
            while (valueStart < end && (in[valueStart] == ' ' || in[valueStart] == '\t')) {
                valueStart++;
            }
            headers.computeIfAbsent(text(pos, colon), name -> new ArrayList<>(1)).add(text(valueStart, end));
        }

        keepAlive = wantsKeepAlive(headers);
        body = bodyOf(headers);
        return new HttpRequest(method, path, headers, body);
    }

    /**
     * Begins the answer. What the function left of the request's body is read past first.
     *
     * @param status the HTTP status
     * @param headers values by name; those that frame the message are made here and ignored there
     * @return takes the body; closing it ends the answer. A small answer is sent in one piece
     * @throws IllegalArgumentException when a header can't be sent; nothing has been sent then
     * @throws IOException when the connection breaks
     */
    public OutputStream respond(int status, Map<String, List<String>> headers) throws IOException {
        StringBuilder head = new StringBuilder(256);
        head.append("HTTP/1.1 ").append(status).append(' ').append(reason(status)).append("\r\n");
        for (Map.Entry<String, List<String>> header : headers.entrySet()) {
            if (isFraming(header.getKey())) {
                continue;
            }
            for (String value : header.getValue()) {
                appendHeader(head, header.getKey(), value);
            }
        }
        if (body != null && !body.discardRest()) {
            keepAlive = false;
        }
        if (!keepAlive) {
            head.append("Connection: close\r\n");
        } else if (http10) {
            head.append("Connection: keep-alive\r\n");
        }
        return new Response(head);
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }

    // ---------------------------------------------------------------- reading

    // Leaves the whole head, the empty line included, at inPos and gives its length; -1 at the end.
    private int readHead() throws IOException {
        if (inPos == inEnd) {
            inPos = 0;
            inEnd = 0;
            if (in.length > BUFFER_BYTES) {
                in = new byte[BUFFER_BYTES];
            }
        }
        int scanned = 0;
        while (true) {
            // Empty lines before a request are allowed, as some clients send one after a body.
            while (scanned == 0 && inPos < inEnd && (in[inPos] == '\r' || in[inPos] == '\n')) {
                inPos++;
            }
            for (int i = inPos + scanned; i < inEnd; i++) {
                if (in[i] == '\n' && endsHead(i)) {
                    return i + 1 - inPos;
                }
            }
            scanned = inEnd - inPos;
            if (scanned >= MAX_HEAD_BYTES) {
                throw new HttpProtocolException(431, "request head larger than " + MAX_HEAD_BYTES + " bytes");
            }
            makeRoom();
            if (fill() < 0) {
                if (scanned == 0) {
                    return -1;
                }
                throw new EOFException("connection closed within a request head");
            }
        }
    }

    private boolean endsHead(int newline) {
        int before = newline - 1;
        if (before >= inPos && in[before] == '\r') {
            before--;
        }
        return before >= inPos && in[before] == '\n';
    }

    private void makeRoom() {
        if (inPos > 0) {
            System.arraycopy(in, inPos, in, 0, inEnd - inPos);
            inEnd -= inPos;
            inPos = 0;
        }
        if (inEnd == in.length) {
            in = Arrays.copyOf(in, Math.min(in.length * 2, MAX_HEAD_BYTES));
        }
    }

    private int fill() throws IOException {
        int n = channel.read(ByteBuffer.wrap(in, inEnd, Math.min(in.length - inEnd, BUFFER_BYTES)));
        if (n > 0) {
            inEnd += n;
        }
        return n;
    }

    private int readByte() throws IOException {
        if (inPos == inEnd) {
            inPos = 0;
            inEnd = 0;
            if (fill() < 0) {
                throw new EOFException("connection closed within a request body");
            }
        }
        return in[inPos++] & 0xff;
    }

    private int readSome(byte[] dest, int offset, int length) throws IOException {
        if (inPos == inEnd && length >= in.length) {
            // A large read goes straight to its destination.
            int n = channel.read(ByteBuffer.wrap(dest, offset, Math.min(length, BUFFER_BYTES)));
            if (n < 0) {
                throw new EOFException("connection closed within a request body");
            }
            return n;
        }
        if (inPos == inEnd) {
            inPos = 0;
            inEnd = 0;
            if (fill() < 0) {
                throw new EOFException("connection closed within a request body");
            }
        }
        int n = Math.min(length, inEnd - inPos);
        System.arraycopy(in, inPos, dest, offset, n);
        inPos += n;
        return n;
    }

    private boolean wantsKeepAlive(Map<String, List<String>> headers) {
        List<String> connection = headers.get("Connection");
        if (connection == null) {
            return !http10;
        }
        String all = String.join(",", connection).toLowerCase(Locale.ROOT);
        return http10 ? all.contains("keep-alive") : !all.contains("close");
    }

    private Body bodyOf(Map<String, List<String>> headers) throws HttpProtocolException {
        List<String> encodings = headers.get("Transfer-Encoding");
        List<String> lengths = headers.get("Content-Length");
        List<String> expects = headers.get("Expect");
        boolean awaitsContinue =
                expects != null && !http10 && expects.stream().anyMatch("100-continue"::equalsIgnoreCase);
        if (encodings != null) {
            // Both at once is how one request is smuggled inside another.
            if (lengths != null) {
                throw new HttpProtocolException(400, "request has both Transfer-Encoding and Content-Length");
            }
            if (encodings.size() != 1 || !encodings.get(0).equalsIgnoreCase("chunked")) {
                throw new HttpProtocolException(501, "transfer encoding not supported: use chunked");
            }
            return new Body(0, true, awaitsContinue);
        }
        if (lengths == null) {
            return new Body(0, false, false);
        }
        String length = lengths.get(0);
        if (lengths.stream().anyMatch(other -> !other.equals(length))
                || length.isEmpty()
                || length.length() > 18
                || !length.chars().allMatch(c -> c >= '0' && c <= '9')) {
            throw new HttpProtocolException(400, "malformed Content-Length");
        }
        return new Body(Long.parseLong(length), false, awaitsContinue);
    }

    private int lineEnd(int from, int headEnd) {
        int newline = indexOf((byte) '\n', from, headEnd);
        return newline < 0 ? headEnd : newline;
    }

    private int indexOf(byte wanted, int from, int to) {
        for (int i = from; i < to; i++) {
            if (in[i] == wanted) {
                return i;
            }
        }
        return -1;
    }

    private int trimEnd(int from, int to) {
        int end = to;
        while (end > from && (in[end - 1] == '\r' || in[end - 1] == ' ' || in[end - 1] == '\t')) {
            end--;
        }
        return end;
    }

    private boolean isToken(int from, int to) {
        for (int i = from; i < to; i++) {
            if (!isTokenChar(in[i])) {
                return false;
            }
        }
        return true;
    }

    @SuppressWarnings("deprecation")
    private String text(int from, int to) {
        // The deprecated constructor is the cheapest way from ISO 8859-1, and its high byte is 0 here.
        return new String(in, 0, from, to - from);
    }

    /** The body of the request read last. */
    private final class Body extends InputStream {
        private final boolean chunked;
        private boolean awaitsContinue;
        // What is left of the body, or of the chunk.
        private long left;
        private boolean firstChunk = true;
        private boolean atEnd;

        Body(long length, boolean chunked, boolean awaitsContinue) {
            this.left = length;
            this.chunked = chunked;
            this.awaitsContinue = awaitsContinue;
            this.atEnd = !chunked && length == 0;
        }

        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override
        public int read(byte[] dest, int offset, int length) throws IOException {
            if (length == 0) {
                return 0;
            }
            if (atEnd) {
                return -1;
            }
            if (awaitsContinue) {
                awaitsContinue = false;
                write(CONTINUE, 0, CONTINUE.length);
            }
            if (chunked && left == 0 && !nextChunk()) {
                return -1;
            }
            int n = readSome(dest, offset, (int) Math.min(length, left));
            left -= n;
            if (!chunked && left == 0) {
                atEnd = true;
            }
            return n;
        }

        @Override
        public int available() {
            return atEnd ? 0 : (int) Math.min(left, inEnd - inPos);
        }

        private boolean nextChunk() throws IOException {
            if (!firstChunk && !readLine().isEmpty()) {
                throw new HttpProtocolException(400, "malformed chunk: longer than its size says");
            }
            firstChunk = false;
            String line = readLine();
            int end = line.indexOf(';');
            String size = (end < 0 ? line : line.substring(0, end)).trim();
            if (size.isEmpty() || size.length() > 15 || !size.chars().allMatch(c -> Character.digit(c, 16) >= 0)) {
                throw new HttpProtocolException(400, "malformed chunk size");
            }
            left = Long.parseLong(size, 16);
            if (left > 0) {
                return true;
            }
            for (int trailers = 0; !readLine().isEmpty(); trailers++) {
                if (trailers > MAX_HEADERS) {
                    throw new HttpProtocolException(431, "too many trailers");
                }
            }
            atEnd = true;
            return false;
        }

        private String readLine() throws IOException {
            StringBuilder line = new StringBuilder(16);
            for (int c = readByte(); c != '\n'; c = readByte()) {
                if (line.length() == MAX_CHUNK_LINE_BYTES) {
                    throw new HttpProtocolException(400, "chunk line too long");
                }
                line.append((char) c);
            }
            int length = line.length();
            if (length > 0 && line.charAt(length - 1) == '\r') {
                line.setLength(length - 1);
            }
            return line.toString();
        }

        // False when the connection can't be used for another request.
        boolean discardRest() throws IOException {
            if (atEnd) {
                return true;
            }
            if (awaitsContinue) {
                // The peer sends the body only when asked, and is not asked any more.
                return false;
            }
            byte[] scratch = new byte[8 * 1024];
            long discarded = 0;
            for (int n = read(scratch, 0, scratch.length); n >= 0; n = read(scratch, 0, scratch.length)) {
                discarded += n;
                if (discarded > MAX_DISCARD_BYTES) {
                    return false;
                }
            }
            return true;
        }
    }

    // ---------------------------------------------------------------- writing

    private void write(byte[] bytes, int offset, int length) throws IOException {
        int done = 0;
        while (done < length) {
            ByteBuffer piece = ByteBuffer.wrap(bytes, offset + done, Math.min(length - done, BUFFER_BYTES));
            done += channel.write(piece);
        }
    }

    /** The answer: a Content-Length one when it fits the buffer, otherwise chunks. */
    private final class Response extends OutputStream {
        private final StringBuilder head;
        // Room at the start of the buffer for the head, or for the size of a chunk.
        private int start;
        private int end;
        private boolean committed;
        private boolean closed;
        private byte[] headBytes;

        Response(StringBuilder head) {
            this.head = head;
            // The head is known but for its last line, so the body can be laid down right behind it.
            this.start = Math.min(head.length() + 40, out.length / 2);
            this.end = start;
        }

        @Override
        public void write(int b) throws IOException {
            write(new byte[] {(byte) b}, 0, 1);
        }

        @Override
        public void write(byte[] bytes, int offset, int length) throws IOException {
            if (closed) {
                throw new IOException("the answer has been sent");
            }
            if (length <= out.length - 2 - end) {
                System.arraycopy(bytes, offset, out, end, length);
                end += length;
                return;
            }
            commitInChunks();
            flushChunk();
            if (length <= out.length - 2 - end) {
                System.arraycopy(bytes, offset, out, end, length);
                end += length;
            } else {
                writeChunk(bytes, offset, length);
            }
        }

        @Override
        public void flush() throws IOException {
            // Only once chunks flow: a flush by the function must not cost a small answer its one write.
            if (committed) {
                flushChunk();
            }
        }

        @Override
        public void close() throws IOException {
            if (closed) {
                return;
            }
            closed = true;
            responseBegun = true;
            if (committed) {
                flushChunk();
                if (!http10) {
                    HttpConnection.this.write(LAST_CHUNK, 0, LAST_CHUNK.length);
                }
                return;
            }
            head.append("Content-Length: ").append(end - start).append("\r\n\r\n");
            byte[] bytes = latin1(head);
            if (bytes.length <= start) {
                System.arraycopy(bytes, 0, out, start - bytes.length, bytes.length);
                HttpConnection.this.write(out, start - bytes.length, end - start + bytes.length);
            } else {
                HttpConnection.this.write(bytes, 0, bytes.length);
                HttpConnection.this.write(out, start, end - start);
            }
        }

        private void commitInChunks() throws IOException {
            if (committed) {
                return;
            }
            committed = true;
            responseBegun = true;
            if (http10) {
                // Without chunks the end of the connection is the end of the body.
                keepAlive = false;
                int at = head.indexOf("Connection: keep-alive\r\n");
                if (at >= 0) {
                    head.replace(at, at + "Connection: keep-alive".length(), "Connection: close");
                }
                head.append("\r\n");
            } else {
                head.append("Transfer-Encoding: chunked\r\n\r\n");
            }
            headBytes = latin1(head);
        }

        // Sends the head, if it has not been, and what is in the buffer.
        private void flushChunk() throws IOException {
            if (headBytes != null) {
                HttpConnection.this.write(headBytes, 0, headBytes.length);
                headBytes = null;
            }
            int length = end - start;
            if (length > 0) {
                int from = start;
                if (!http10) {
                    byte[] size = ascii(Integer.toHexString(length) + "\r\n");
                    from -= size.length;
                    System.arraycopy(size, 0, out, from, size.length);
                    out[end++] = '\r';
                    out[end++] = '\n';
                }
                HttpConnection.this.write(out, from, end - from);
            }
            start = 16;
            end = start;
        }

        private void writeChunk(byte[] bytes, int offset, int length) throws IOException {
            if (!http10) {
                byte[] size = ascii(Integer.toHexString(length) + "\r\n");
                HttpConnection.this.write(size, 0, size.length);
            }
            HttpConnection.this.write(bytes, offset, length);
            if (!http10) {
                HttpConnection.this.write(CRLF, 0, CRLF.length);
            }
        }
    }

    private static final byte[] CRLF = ascii("\r\n");
    private static final byte[] LAST_CHUNK = ascii("0\r\n\r\n");

    private static boolean isFraming(String name) {
        switch (name.length()) {
            case 2:
                return name.equalsIgnoreCase("te");
            case 7:
                return name.equalsIgnoreCase("trailer") || name.equalsIgnoreCase("upgrade");
            case 10:
                return name.equalsIgnoreCase("connection") || name.equalsIgnoreCase("keep-alive");
            case 14:
                return name.equalsIgnoreCase("content-length");
            case 17:
                return name.equalsIgnoreCase("transfer-encoding");
            default:
                return false;
        }
    }

    private static void appendHeader(StringBuilder head, String name, String value) {
        int length = name.length();
        for (int i = 0; i < length; i++) {
            if (!isTokenChar(name.charAt(i))) {
                throw new IllegalArgumentException("response header name is not an HTTP token: " + printable(name));
            }
        }
        if (length == 0) {
            throw new IllegalArgumentException("response header name is empty");
        }
        for (int i = 0; i < value.length(); i++) {
            char c = value.charAt(i);
            if (c == '\r' || c == '\n' || c == 0) {
                throw new IllegalArgumentException("value of response header " + name + " holds a line break");
            }
        }
        head.append(name).append(": ").append(value).append("\r\n");
    }

    private static String printable(String name) {
        return name.replaceAll("[^\\x20-\\x7e]", "?");
    }

    private static boolean isTokenChar(int c) {
        return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
                || c > ' ' && c < 127 && "!#$%&'*+.^`|~".indexOf(c) >= 0;
    }

    private static byte[] latin1(CharSequence text) {
        return text.toString().getBytes(StandardCharsets.ISO_8859_1);
    }

    private static byte[] ascii(String text) {
        return text.getBytes(StandardCharsets.US_ASCII);
    }

    private static String reason(int status) {
        switch (status) {
            case 200:
                return "OK";
            case 400:
                return "Bad Request";
            case 404:
                return "Not Found";
            case 405:
                return "Method Not Allowed";
            case 409:
                return "Conflict";
            case 431:
                return "Request Header Fields Too Large";
            case 500:
                return "Internal Server Error";
            case 501:
                return "Not Implemented";
            case 502:
                return "Bad Gateway";
            case 504:
                return "Gateway Timeout";
            case 505:
                return "HTTP Version Not Supported";
            default:
                return "Status";
        }
    }
}
