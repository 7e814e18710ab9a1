package io.thaw.fdk;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SecretsTest {

    @TempDir
    Path dir;

    @BeforeEach
    void direct() {
        System.setProperty(Secrets.DIRECTORY_PROPERTY, dir.toString());
    }

    @AfterEach
    void undirect() {
        System.clearProperty(Secrets.DIRECTORY_PROPERTY);
    }

    @Test
    void eachCallReadsTheFile() throws IOException {
        assertEquals(Optional.empty(), Secrets.get("key"));
        Files.write(dir.resolve("key"), new byte[] {0, -1, 7});
        assertArrayEquals(new byte[] {0, -1, 7}, Secrets.get("key").get());
        Files.writeString(dir.resolve("key"), "schlüssel");
        assertEquals(Optional.of("schlüssel"), Secrets.getString("key"));
    }

    @Test
    void namesAreThoseOfTheFiles() throws IOException {
        Files.writeString(dir.resolve("b"), "1");
        Files.writeString(dir.resolve("a.key"), "2");
        assertEquals(Set.of("a.key", "b"), Secrets.names());
        System.setProperty(Secrets.DIRECTORY_PROPERTY, dir + "/none");
        assertEquals(Set.of(), Secrets.names());
    }

    @Test
    void aNameCanNotLeaveTheDirectory() {
        for (String name : new String[] {"", ".", "..", "../x", "a/b", "a b"}) {
            assertThrows(IllegalArgumentException.class, () -> Secrets.get(name), name);
        }
    }

    @Test
    void whatIsThereAndCanNotBeReadIsAnError() throws IOException {
        Files.createDirectory(dir.resolve("key"));
        assertThrows(UncheckedIOException.class, () -> Secrets.get("key"));
    }
}
