package io.thaw.crac;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import jdk.crac.CheckpointException;
import jdk.crac.Core;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Unmodified org.crac artifacts, each in a class loader of its own, on top of our jdk.crac. */
class OrgCracTest {

    private final List<String> seen = new ArrayList<>();

    @AfterEach
    void removeHook() throws Exception {
        CheckpointHook.install(null);
    }

    @ParameterizedTest
    @ValueSource(strings = {"crac-1.5.0.jar", "crac-1.3.0.jar", "org-crac-0.1.3.jar"})
    void resourcesOfOrgCracAreToldInOrderAndSurviveACollection(String jar) throws Exception {
        try (OrgCrac crac = new OrgCrac(jar)) {
            Object first = crac.resource("first", null);
            Object second = crac.resource("second", null);
            crac.register(first);
            crac.register(second);
            // org.crac registers proxies, which nobody but org.crac itself refers to.
            System.gc();
            System.gc();
            Core.getGlobalContext().beforeCheckpoint(null);
            Core.getGlobalContext().afterRestore(null);
            assertEquals(List.of("before second", "before first", "after first", "after second"), seen);
            assertTrue(first != second);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"crac-1.5.0.jar", "crac-1.3.0.jar", "org-crac-0.1.3.jar"})
    void aVetoOfAnOrgCracResourceReachesUsAsTheCause(String jar) throws Exception {
        try (OrgCrac crac = new OrgCrac(jar)) {
            Object resource = crac.resource("pool", new IllegalStateException("pool is busy"));
            crac.register(resource);
            CheckpointException e = assertThrows(CheckpointException.class,
                    () -> Core.getGlobalContext().beforeCheckpoint(null));
            assertEquals("pool is busy", e.getSuppressed()[0].getMessage());
            Core.getGlobalContext().afterRestore(null);
            assertEquals(List.of("before pool", "after pool"), seen);
            assertTrue(resource != null);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"crac-1.5.0.jar", "crac-1.3.0.jar", "org-crac-0.1.3.jar"})
    void checkpointRestoreOfOrgCracGivesOurReason(String jar) throws Exception {
        CheckpointHook.install(() -> {
            CheckpointException e = new CheckpointException("the platform says when");
            e.addSuppressed(new IllegalStateException("a call is being answered"));
            throw e;
        });
        try (OrgCrac crac = new OrgCrac(jar)) {
            Throwable e = assertThrows(InvocationTargetException.class, crac::checkpointRestore).getCause();
            assertEquals("org.crac.CheckpointException", e.getClass().getName());
            assertEquals("a call is being answered", e.getSuppressed()[0].getMessage());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"crac-1.5.0.jar", "crac-1.3.0.jar", "org-crac-0.1.3.jar"})
    void checkpointRestoreWithoutARuntimeIsUnsupported(String jar) throws Exception {
        try (OrgCrac crac = new OrgCrac(jar)) {
            Throwable e = assertThrows(InvocationTargetException.class, crac::checkpointRestore).getCause();
            // All these versions pass a throwable that they don't know on inside others.
            while (!(e instanceof UnsupportedOperationException)) {
                Throwable inner = e.getSuppressed().length > 0 ? e.getSuppressed()[0] : e.getCause();
                assertNotNull(inner, () -> "no UnsupportedOperationException in it");
                e = inner;
            }
        }
    }

    /** One artifact, driven by reflection: its classes are not those of this class path. */
    private final class OrgCrac implements AutoCloseable {
        private final URLClassLoader loader;
        private final Class<?> resourceType;
        private final Class<?> coreType;

        OrgCrac(String jar) throws Exception {
            Path file = Path.of("target", "org-crac", jar);
            assertTrue(Files.exists(file), file + " is missing: run the tests with Maven");
            loader = new URLClassLoader(new URL[] {file.toUri().toURL()}, OrgCracTest.class.getClassLoader());
            resourceType = loader.loadClass("org.crac.Resource");
            coreType = loader.loadClass("org.crac.Core");
            assertEquals(loader, coreType.getClassLoader());
        }

        Object resource(String name, Exception onBefore) {
            InvocationHandler handler = (proxy, method, args) -> {
                switch (method.getName()) {
                    case "beforeCheckpoint":
                        seen.add("before " + name);
                        if (onBefore != null) {
                            throw onBefore;
                        }
                        return null;
                    case "afterRestore":
                        seen.add("after " + name);
                        return null;
                    case "hashCode":
                        return System.identityHashCode(proxy);
                    case "equals":
                        return proxy == args[0];
                    default:
                        return name;
                }
            };
            return Proxy.newProxyInstance(loader, new Class<?>[] {resourceType}, handler);
        }

        void register(Object resource) throws Exception {
            Object context = coreType.getMethod("getGlobalContext").invoke(null);
            Method register = loader.loadClass("org.crac.Context").getMethod("register", resourceType);
            register.invoke(context, resource);
        }

        void checkpointRestore() throws Exception {
            coreType.getMethod("checkpointRestore").invoke(null);
        }

        @Override
        public void close() throws Exception {
            loader.close();
        }
    }
}
