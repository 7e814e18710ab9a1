package io.thaw.fdk;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RestoreTimeConfigTest {

    @TempDir
    Path dir;
    private Path file;

    @BeforeEach
    void name() {
        file = dir.resolve("config.json");
    }

    // As thaw-init does it: a new file by the old name.
    private void write(String json) throws IOException {
        Path fresh = dir.resolve("fresh");
        Files.writeString(fresh, json);
        Files.move(fresh, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    @Test
    void valuesOfTheFileReplaceThoseOfTheStart() throws IOException {
        write("{\"URL\":\"now\",\"NEW\":\"there\"}\n");
        Map<String, String> current = new RestoreTimeConfig(file, Map.of("URL", "then", "HOME", "/tmp")).current();
        assertEquals(Map.of("URL", "now", "NEW", "there", "HOME", "/tmp"), current);
    }

    @Test
    void aKeyThatHasNoValueNowIsGone() throws IOException {
        write("{\"URL\":null}");
        assertEquals(Map.of(), new RestoreTimeConfig(file, Map.of("URL", "then")).current());
    }

    @Test
    void aReplacedFileIsReadAgainAndAnOldViewStays() throws IOException {
        write("{\"URL\":\"one\"}");
        RestoreTimeConfig config = new RestoreTimeConfig(file, Map.of());
        Map<String, String> before = config.current();
        assertSame(before, config.current());
        write("{\"URL\":\"two\"}");
        assertEquals("two", config.current().get("URL"));
        assertEquals("one", before.get("URL"));
    }

    @Test
    void whatCanNotBeReadChangesNothing() throws IOException {
        write("{\"URL\":\"one\"}");
        RestoreTimeConfig config = new RestoreTimeConfig(file, Map.of());
        config.current();
        write("{\"URL\":");
        assertEquals("one", config.current().get("URL"));
        Files.delete(file);
        assertEquals("one", config.current().get("URL"));
    }

    @Test
    void withoutTheFileTheEnvironmentIsAsItWas() {
        assertEquals(Map.of("A", "1"), new RestoreTimeConfig(file, Map.of("A", "1")).current());
    }

    @Test
    void jsonHasItsEscapes() {
        assertEquals(Map.of("a\"b", "\\/\b\f\n\r\tä\u20ac \ud83d\ude00"),
                FlatJson.parse(" { \"a\\\"b\" : \"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\u20ac \\ud83d\\ude00\" } "));
        assertEquals(Map.of(), FlatJson.parse("{}\n"));
    }

    @Test
    void otherJsonIsRefused() {
        for (String text : new String[] {"", "[]", "{", "{\"a\"}", "{\"a\":1}", "{\"a\":\"b\"", "{\"a\":\"b\",}",
            "{\"a\":\"b\"} x", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}", "{\"a\":nil}"}) {
            assertThrows(IllegalArgumentException.class, () -> FlatJson.parse(text), text);
        }
    }

    @Test
    void theProcessesOwnEnvironmentIsSeen() {
        assertEquals(System.getenv(), Environment.all());
        assertFalse(Environment.get("THAW_NO_SUCH_VARIABLE").isPresent());
    }
}
