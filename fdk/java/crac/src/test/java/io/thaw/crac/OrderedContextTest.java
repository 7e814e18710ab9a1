package io.thaw.crac;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.ref.WeakReference;
import java.util.ArrayList;
import java.util.List;
import jdk.crac.CheckpointException;
import jdk.crac.Context;
import jdk.crac.Core;
import jdk.crac.Resource;
import jdk.crac.RestoreException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class OrderedContextTest {

    private final List<String> seen = new ArrayList<>();
    private final OrderedContext<Resource> context = new OrderedContext<>("test");

    private class Recorder implements Resource {
        final String name;
        Exception onBefore;
        Exception onAfter;

        Recorder(String name) {
            this.name = name;
        }

        @Override
        public void beforeCheckpoint(Context<? extends Resource> c) throws Exception {
            seen.add("before " + name);
            if (onBefore != null) {
                throw onBefore;
            }
        }

        @Override
        public void afterRestore(Context<? extends Resource> c) throws Exception {
            seen.add("after " + name);
            if (onAfter != null) {
                throw onAfter;
            }
        }

        @Override
        public boolean equals(Object other) {
            return other instanceof Recorder;
        }

        @Override
        public int hashCode() {
            return 1;
        }

        @Override
        public String toString() {
            return "recorder " + name;
        }
    }

    @AfterEach
    void forgetObserver() {
        OrderedContext.observe(CallbackObserver.NONE);
        CheckpointHook.install(null);
    }

    @Test
    void beforeRunsInReverseAndAfterInOrderOfRegistrationThoughAllAreEqual() throws Exception {
        Recorder a = new Recorder("a");
        Recorder b = new Recorder("b");
        Recorder c = new Recorder("c");
        context.register(a);
        context.register(b);
        context.register(c);
        context.beforeCheckpoint(null);
        context.afterRestore(null);
        assertEquals(List.of("before c", "before b", "before a", "after a", "after b", "after c"), seen);
    }

    @Test
    void aResourceThatThrowsKeepsNoOtherFromBeingToldAndAllCausesAreSuppressed() throws Exception {
        Recorder a = new Recorder("a");
        Recorder b = new Recorder("b");
        Recorder c = new Recorder("c");
        c.onBefore = new IllegalStateException("c busy");
        a.onBefore = new java.io.IOException("a busy");
        context.register(a);
        context.register(b);
        context.register(c);
        CheckpointException e = assertThrows(CheckpointException.class, () -> context.beforeCheckpoint(null));
        assertArrayEquals(new Throwable[] {c.onBefore, a.onBefore}, e.getSuppressed());
        context.afterRestore(null);
        assertEquals(List.of("before c", "before b", "before a", "after a", "after b", "after c"), seen);
    }

    @Test
    void afterRestoreCollectsAllCauses() throws Exception {
        Recorder a = new Recorder("a");
        Recorder b = new Recorder("b");
        a.onAfter = new IllegalStateException("a gone");
        b.onAfter = new IllegalStateException("b gone");
        context.register(a);
        context.register(b);
        context.beforeCheckpoint(null);
        RestoreException e = assertThrows(RestoreException.class, () -> context.afterRestore(null));
        assertArrayEquals(new Throwable[] {a.onAfter, b.onAfter}, e.getSuppressed());
    }

    @Test
    void nestedContextsRunInTheirPlaceAndTheirCausesMoveUp() throws Exception {
        Recorder a = new Recorder("a");
        Recorder inner1 = new Recorder("inner1");
        Recorder inner2 = new Recorder("inner2");
        Recorder z = new Recorder("z");
        OrderedContext<Resource> nested = new OrderedContext<>("nested");
        nested.register(inner1);
        nested.register(inner2);
        context.register(a);
        context.register(nested);
        context.register(z);
        inner1.onBefore = new IllegalStateException("no");
        CheckpointException e = assertThrows(CheckpointException.class, () -> context.beforeCheckpoint(null));
        assertArrayEquals(new Throwable[] {inner1.onBefore}, e.getSuppressed());
        context.afterRestore(null);
        assertEquals(
                List.of("before z", "before inner2", "before inner1", "before a",
                        "after a", "after inner1", "after inner2", "after z"),
                seen);
    }

    @Test
    void resourcesAreHeldWeaklyButStronglyWhileFrozen() throws Exception {
        Recorder kept = new Recorder("kept");
        Recorder dropped = new Recorder("dropped");
        WeakReference<Recorder> gone = new WeakReference<>(dropped);
        context.register(kept);
        context.register(dropped);
        context.beforeCheckpoint(null);
        dropped = null;
        collect();
        assertTrue(gone.get() != null, "collected between before and after");
        context.afterRestore(null);
        collect();
        assertNull(gone.get(), "still held after the restore");
        seen.clear();
        context.beforeCheckpoint(null);
        assertEquals(List.of("before kept"), seen);
    }

    @Test
    void aResourceRegisteredWithinACallbackIsToldFromTheNextCheckpointOn() throws Exception {
        Recorder late = new Recorder("late");
        Resource registrar = new Resource() {
            @Override
            public void beforeCheckpoint(Context<? extends Resource> c) {
                context.register(late);
            }

            @Override
            public void afterRestore(Context<? extends Resource> c) {
            }
        };
        context.register(registrar);
        context.beforeCheckpoint(null);
        context.afterRestore(null);
        assertEquals(List.of(), seen);
        context.beforeCheckpoint(null);
        assertEquals(List.of("before late"), seen);
    }

    @Test
    void observerHearsEachCallbackWithItsFailure() throws Exception {
        List<String> heard = new ArrayList<>();
        OrderedContext.observe((phase, resource, nanos, failure) ->
                heard.add(phase + " " + resource + " " + (failure == null ? "ok" : failure.getMessage())));
        Recorder a = new Recorder("a");
        a.onBefore = new IllegalStateException("busy");
        context.register(a);
        assertThrows(CheckpointException.class, () -> context.beforeCheckpoint(null));
        context.afterRestore(null);
        assertEquals(List.of("BEFORE recorder a busy", "AFTER recorder a ok"), heard);
    }

    @Test
    void checkpointRestoreWithoutARuntimeIsUnsupported() {
        assertThrows(UnsupportedOperationException.class, Core::checkpointRestore);
    }

    @Test
    void checkpointRestoreGoesToTheInstalledHook() {
        CheckpointHook.install(() -> {
            throw new CheckpointException("not now");
        });
        CheckpointException e = assertThrows(CheckpointException.class, Core::checkpointRestore);
        assertEquals("not now", e.getMessage());
    }

    @Test
    void thousandsOfForgottenResourcesLeaveNoReferencesBehind() throws Exception {
        for (int i = 0; i < 10_000; i++) {
            context.register(new Recorder("r" + i));
            if (i % 1000 == 0) {
                collect();
            }
        }
        collect();
        context.beforeCheckpoint(null);
        assertTrue(seen.size() < 10_000, "none of " + seen.size() + " was let go");
        context.afterRestore(null);
    }

    private static void collect() throws InterruptedException {
        WeakReference<Object> canary = new WeakReference<>(new Object());
        for (int i = 0; i < 100 && canary.get() != null; i++) {
            System.gc();
        }
        assertNull(canary.get(), "the collector does not run");
    }
}
