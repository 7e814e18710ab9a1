package io.thaw.fdk;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Collections;
import java.util.Optional;
import java.util.SortedSet;
import java.util.TreeSet;

/**
 * The secrets that the platform has given this function, as they are now: each is read from its file at
 * every call, so a changed value is seen at once, and nothing is kept that could end up in a snapshot.
 *
 * <p>A secret that is declared for after the restore only is not there before; ask for it in
 * {@code afterRestore} or in the call, not when the class is loaded.
 *
 * <p>Tests of functions may put files elsewhere: the system property {@value #DIRECTORY_PROPERTY}.
 */
public final class Secrets {

    /** Names another directory than the platform's. */
    public static final String DIRECTORY_PROPERTY = "io.thaw.fdk.secrets";

    private static final String DIRECTORY = "/run/thaw/secrets";

    private Secrets() {
    }

    /**
     * @param name the secret's name
     * @return its value, which the caller may overwrite after use; empty when the function has no such secret
     * @throws IllegalArgumentException when {@code name} can't be a secret's name
     * @throws UncheckedIOException when it is there and can't be read
     */
    public static Optional<byte[]> get(String name) {
        if (!isName(name)) {
            throw new IllegalArgumentException(
                    "\"" + name + "\" is not a secret's name: use letters, digits, '_', '-' and '.'");
        }
        try {
            return Optional.of(Files.readAllBytes(directory().resolve(name)));
        } catch (NoSuchFileException e) {
            return Optional.empty();
        } catch (IOException e) {
            throw new UncheckedIOException("can't read secret " + name, e);
        }
    }

    /**
     * @param name the secret's name
     * @return its value as UTF-8 text; empty when the function has no such secret
     * @throws IllegalArgumentException when {@code name} can't be a secret's name
     * @throws UncheckedIOException when it is there and can't be read
     */
    public static Optional<String> getString(String name) {
        return get(name).map(value -> new String(value, StandardCharsets.UTF_8));
    }

    /** @return the names of the secrets that are there now */
    public static SortedSet<String> names() {
        SortedSet<String> names = new TreeSet<>();
        try (DirectoryStream<Path> files = Files.newDirectoryStream(directory())) {
            files.forEach(file -> names.add(file.getFileName().toString()));
        } catch (NoSuchFileException e) {
            return Collections.emptySortedSet();
        } catch (IOException e) {
            throw new UncheckedIOException("can't list the secrets", e);
        }
        return Collections.unmodifiableSortedSet(names);
    }

    private static Path directory() {
        return Path.of(System.getProperty(DIRECTORY_PROPERTY, DIRECTORY));
    }

    private static boolean isName(String name) {
        if (name.isEmpty() || name.equals(".") || name.equals("..")) {
            return false;
        }
        return name.chars().allMatch(c -> c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
                || c == '_' || c == '-' || c == '.');
    }
}
