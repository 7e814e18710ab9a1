package com.fnproject.fn.api;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class HeadersTest {

    @Test
    void namesAreCanonicalAndFoundWhateverTheirCase() {
        Headers headers = Headers.fromMap(Map.of("cONTENT-tYPE", "text/plain"));
        assertEquals(Optional.of("text/plain"), headers.get("content-TYPE"));
        assertEquals(List.of("Content-Type"), List.copyOf(headers.keys()));
        assertEquals("X-1a-B", Headers.canonicalKey("x-1A-b"));
        assertEquals("odd_Name", Headers.canonicalKey("odd_Name"));
    }

    @Test
    void namesThatDifferInCaseOnlyAreJoined() {
        Headers headers = Headers.fromMultiHeaderMap(Map.of("A", List.of("1", "2")));
        assertEquals(List.of("1", "2", "3"), headers.addHeader("a", "3").getAllValues("A"));
    }

    @Test
    void changingMakesAnotherObject() {
        Headers empty = Headers.emptyHeaders();
        Headers one = empty.setHeader("a", "1", "2");
        assertEquals(Map.of(), empty.asMap());
        assertEquals(Map.of("A", List.of("1", "2")), one.asMap());
        assertEquals(Map.of("A", List.of("3")), one.setHeaders(Map.of("a", List.of("3"))).asMap());
        assertEquals(empty, one.removeHeader("A"));
        assertSame(one, one.removeHeader("b"));
        assertThrows(UnsupportedOperationException.class, () -> one.asMap().put("B", List.of()));
        assertThrows(UnsupportedOperationException.class, () -> one.getAllValues("a").add("x"));
    }

    @Test
    void survivesSerialisation() throws Exception {
        Headers headers = Headers.emptyHeaders().setHeader("a", "1");
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            out.writeObject(headers);
        }
        try (ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray()))) {
            assertEquals(headers, in.readObject());
        }
    }

    @Test
    void outputEventKeepsBodyAndStatusWhenItsHeadersAreReplaced() throws Exception {
        OutputEvent event = OutputEvent.fromBytes(new byte[] {1}, OutputEvent.Status.FunctionTimeout, "a/b")
                .withHeaders(Headers.fromMap(Map.of("x", "y")));
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        event.writeToOutput(body);
        assertEquals(1, body.size());
        assertEquals(504, event.getStatus().getCode());
        assertEquals(Optional.empty(), event.getContentType());
    }
}
