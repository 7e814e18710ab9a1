package io.thaw.descriptors;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.jar.Attributes;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.objectweb.asm.ClassReader;

/** Runs a program under the agent, in a JVM of its own, as functions run under it. */
class DescriptorAgentTest {

    @TempDir
    Path dir;

    @Test
    void everyKindOfDescriptorIsKnownWithTheMethodThatOpenedIt() throws Exception {
        Result result = run();
        for (String method : List.of("inputStream", "outputStream", "randomAccess", "channel", "serverSocketAndAccepted", "connect",
                "accept", "channels", "unixServer", "selector", "watch")) {
            assertTrue(result.output.contains("\"opened_by\":[\"io.thaw.descriptors.Opener." + method + "(Opener.java:"),
                    method + " is missing in " + result.output);
        }
    }

    @Test
    void whatIsClosedAgainIsForgottenAndAViewIsNoOpener() throws Exception {
        Result result = run();
        assertFalse(result.output.contains("Opener.closedAgain"), result.output);
        assertFalse(result.output.contains("Opener.viewAsChannel"), result.output);
    }

    @Test
    void theJdkItselfIsNotTheOpenerItSays() throws Exception {
        Result result = run();
        assertFalse(result.output.contains("\"opened_by\":[\"java.io."), result.output);
    }

    private Result run() throws Exception {
        Path jar = agentJar();
        List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString()));
        command.add("-javaagent:" + jar);
        command.addAll(List.of("-cp", "target/test-classes", "io.thaw.descriptors.Opener"));
        Path output = dir.resolve("output");
        Process process = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(output.toFile()).start();
        assertTrue(process.waitFor(60, TimeUnit.SECONDS), "the program hangs");
        String text = Files.readString(output);
        assertEquals(0, process.exitValue(), text);
        return new Result(text);
    }

    private record Result(String output) {
    }

    // As the packaged jar, but with ASM beside it and under its own name.
    private Path agentJar() throws Exception {
        Path asm = Path.of(ClassReader.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        Path jar = dir.resolve("agent.jar");
        Manifest manifest = new Manifest();
        Attributes attributes = manifest.getMainAttributes();
        attributes.put(Attributes.Name.MANIFEST_VERSION, "1.0");
        attributes.putValue("Premain-Class", "io.thaw.descriptors.DescriptorAgent");
        attributes.putValue("Boot-Class-Path", jar + " " + asm);
        attributes.putValue("Can-Retransform-Classes", "true");
        Path classes = Path.of("target/classes");
        try (OutputStream file = Files.newOutputStream(jar); JarOutputStream out = new JarOutputStream(file, manifest);
                Stream<Path> all = Files.walk(classes)) {
            for (Path path : all.filter(Files::isRegularFile).toList()) {
                out.putNextEntry(new JarEntry(classes.relativize(path).toString()));
                Files.copy(path, out);
                out.closeEntry();
            }
        }
        return jar;
    }
}
