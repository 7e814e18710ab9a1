package io.thaw.crac.compat;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.thaw.crac.CheckpointHook;
import java.lang.ref.Reference;
import java.lang.ref.WeakReference;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.crac.CheckpointException;
import org.crac.Context;
import org.crac.Core;
import org.crac.Resource;
import org.crac.RestoreException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * A function's code against an unmodified org.crac from the registry, which lies beside our jdk.crac on a flat
 * class path as in a function's image. The pom runs it once for each artifact; it is compiled against the oldest.
 */
@Timeout(30)
class OrgCracOnTheClassPathTest {

    private final List<String> seen = new ArrayList<>();
    // Resources are held weakly, so the tests keep theirs.
    private final List<Recorder> kept = new ArrayList<>();

    private final class Recorder implements Resource {
        private final String name;
        private Exception onBefore;
        private Exception onAfter;
        // The collector may leave it in the global context beyond its test.
        private boolean retired;

        Recorder(String name) {
            this.name = name;
            kept.add(this);
        }

        @Override
        public void beforeCheckpoint(Context<? extends Resource> context) throws Exception {
            if (retired) {
                return;
            }
            seen.add("before " + name);
            if (onBefore != null) {
                throw onBefore;
            }
        }

        @Override
        public void afterRestore(Context<? extends Resource> context) throws Exception {
            if (retired) {
                return;
            }
            seen.add("after " + name);
            if (onAfter != null) {
                throw onAfter;
            }
        }
    }

    /** A context of the user's own, as frameworks have them. */
    private static final class Nested extends Context<Resource> {
        private final List<Resource> resources = new ArrayList<>();

        @Override
        public void register(Resource resource) {
            resources.add(resource);
        }

        @Override
        public void beforeCheckpoint(Context<? extends Resource> context) throws CheckpointException {
            CheckpointException failure = new CheckpointException();
            for (int i = resources.size() - 1; i >= 0; i--) {
                try {
                    resources.get(i).beforeCheckpoint(this);
                } catch (Exception e) {
                    failure.addSuppressed(e);
                }
            }
            if (failure.getSuppressed().length > 0) {
                throw failure;
            }
        }

        @Override
        public void afterRestore(Context<? extends Resource> context) throws RestoreException {
            for (Resource resource : resources) {
                try {
                    resource.afterRestore(this);
                } catch (Exception e) {
                    throw new RestoreException();
                }
            }
        }
    }

    @BeforeEach
    void aRuntimeThatTellsAllAsThawDoes() {
        CheckpointHook.install(() -> {
            try {
                jdk.crac.Core.getGlobalContext().beforeCheckpoint(null);
            } catch (jdk.crac.CheckpointException e) {
                try {
                    jdk.crac.Core.getGlobalContext().afterRestore(null);
                } catch (jdk.crac.RestoreException ignored) {
                    // The veto counts.
                }
                throw e;
            }
            seen.add("frozen");
            jdk.crac.Core.getGlobalContext().afterRestore(null);
        });
    }

    @AfterEach
    void noRuntime() {
        CheckpointHook.install(null);
        kept.forEach(recorder -> recorder.retired = true);
        kept.clear();
    }

    @Test
    void itIsTheArtifactThatThePomNames() {
        String jar = Core.class.getProtectionDomain().getCodeSource().getLocation().getPath();
        assertTrue(jar.endsWith("/" + System.getProperty("org.crac.jar")), jar);
        assertFalse(jdk.crac.Core.class.getModule().isNamed(), "a JDK with a CRaC of its own tests nothing of ours");
    }

    @Test
    void checkpointRestoreOfUserCodeTellsResourcesInReverseOrderAndReturns() throws Exception {
        Core.getGlobalContext().register(new Recorder("first"));
        Core.getGlobalContext().register(new Recorder("second"));
        Core.checkpointRestore();
        assertEquals(List.of("before second", "before first", "frozen", "after first", "after second"), seen);
    }

    @Test
    void resourcesAreHeldWeakly() throws Exception {
        Core.getGlobalContext().register(new Recorder("kept"));
        WeakReference<Recorder> dropped = new WeakReference<>(new Recorder("dropped"));
        Core.getGlobalContext().register(dropped.get());
        kept.remove(1);
        for (int i = 0; i < 100 && dropped.get() != null; i++) {
            System.gc();
            Thread.sleep(10);
        }
        assertNull(dropped.get(), "nothing of ours or of org.crac's keeps it");
        Core.checkpointRestore();
        assertEquals(List.of("before kept", "frozen", "after kept"), seen);
    }

    @Test
    void nestedContextsAreToldAsOneResourceOfTheirParent() throws Exception {
        Nested nested = new Nested();
        Core.getGlobalContext().register(new Recorder("outer first"));
        Core.getGlobalContext().register(nested);
        nested.register(new Recorder("inner first"));
        nested.register(new Recorder("inner second"));
        Core.getGlobalContext().register(new Recorder("outer second"));
        Core.checkpointRestore();
        assertEquals(List.of("before outer second", "before inner second", "before inner first", "before outer first",
                "frozen", "after outer first", "after inner first", "after inner second", "after outer second"), seen);
        Reference.reachabilityFence(nested);
    }

    @Test
    void everyCauseOfAVetoIsSuppressedAndNothingIsFrozen() {
        Nested nested = new Nested();
        Recorder pool = new Recorder("pool");
        Recorder cache = new Recorder("cache");
        Recorder inner = new Recorder("inner");
        pool.onBefore = new IllegalStateException("pool is busy");
        cache.onBefore = new java.io.IOException("cache can't be written");
        inner.onBefore = new UnsupportedOperationException("never");
        Core.getGlobalContext().register(pool);
        Core.getGlobalContext().register(cache);
        Core.getGlobalContext().register(nested);
        nested.register(inner);
        CheckpointException e = assertThrows(CheckpointException.class, Core::checkpointRestore);
        assertEquals(List.of("never", "cache can't be written", "pool is busy"),
                Stream.of(e.getSuppressed()).map(OrgCracOnTheClassPathTest::innermost).toList());
        assertEquals(List.of("before inner", "before cache", "before pool", "after pool", "after cache", "after inner"), seen);
        Reference.reachabilityFence(nested);
    }

    @Test
    void everyCauseOfAFailureAfterTheRestoreIsSuppressed() {
        Recorder one = new Recorder("one");
        Recorder two = new Recorder("two");
        one.onAfter = new IllegalStateException("first is lost");
        two.onAfter = new IllegalStateException("second is lost");
        Core.getGlobalContext().register(one);
        Core.getGlobalContext().register(two);
        RestoreException e = assertThrows(RestoreException.class, Core::checkpointRestore);
        assertEquals(List.of("first is lost", "second is lost"),
                Stream.of(e.getSuppressed()).map(OrgCracOnTheClassPathTest::innermost).toList());
    }

    // A nested org.crac context's exception may come wrapped in one of its own.
    private static String innermost(Throwable thrown) {
        return thrown.getSuppressed().length == 1 ? innermost(thrown.getSuppressed()[0]) : thrown.getMessage();
    }
}
