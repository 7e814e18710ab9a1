package io.thaw.fdk;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.HashMap;
import java.util.Map;

/**
 * An environment in which the platform's file of restore-time configuration replaces what the process was
 * started with. The file is replaced as a whole whenever a value changes, and at each restore. Used by the
 * runtime; functions ask {@link Environment}, or their {@code RuntimeContext}.
 */
public final class RestoreTimeConfig {

    private final Path file;
    private final Map<String, String> environment;
    // A process that was started without the file is not on a platform that would make it later.
    private final boolean present;
    private volatile Reading reading;

    private record Reading(Object stamp, Map<String, String> values) {
    }

    /**
     * @param file the platform's file; it may be missing
     * @param environment the process's environment
     */
    public RestoreTimeConfig(Path file, Map<String, String> environment) {
        this.file = file;
        this.environment = Map.copyOf(environment);
        this.present = Files.exists(file);
    }

    /**
     * @return the environment as it is now; the map never changes. When the file can't be read, the last
     *     values that could be
     */
    public Map<String, String> current() {
        if (!present) {
            return environment;
        }
        Reading last = reading;
        try {
            BasicFileAttributes attributes = Files.readAttributes(file, BasicFileAttributes.class);
            // The name of the file's place alone could come again in another container.
            Object stamp = attributes.fileKey() + " " + attributes.lastModifiedTime() + " " + attributes.size();
            if (last != null && last.stamp().equals(stamp)) {
                return last.values();
            }
            Map<String, String> values = new HashMap<>(environment);
            FlatJson.parse(Files.readString(file, StandardCharsets.UTF_8)).forEach((key, value) -> {
                if (value == null) {
                    values.remove(key);
                } else {
                    values.put(key, value);
                }
            });
            Reading fresh = new Reading(stamp, Map.copyOf(values));
            reading = fresh;
            return fresh.values();
        } catch (IOException | IllegalArgumentException e) {
            System.err.println("thaw-fdk: restore-time configuration " + file + " can't be read: " + e);
            return last == null ? environment : last.values();
        }
    }
}
