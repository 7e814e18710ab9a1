package io.thaw.testfn;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Files below /tmp, which belong to a snapshot. */
public class Files {

    private final List<OutputStream> held = new ArrayList<>();

    public String call(String order) throws IOException {
        String[] words = order.strip().split(" ", 3);
        Path path = Path.of("/tmp", words[1]).normalize();
        switch (words[0]) {
            case "write":
                java.nio.file.Files.writeString(path, words[2]);
                return "written";
            case "read":
                return java.nio.file.Files.readString(path);
            case "hold":
                OutputStream out = java.nio.file.Files.newOutputStream(path);
                out.write("held".getBytes(java.nio.charset.StandardCharsets.UTF_8));
                held.add(out);
                return "held";
            default:
                throw new IllegalArgumentException("no such order: " + words[0]);
        }
    }
}
