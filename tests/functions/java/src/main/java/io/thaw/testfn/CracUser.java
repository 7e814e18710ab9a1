package io.thaw.testfn;

import java.lang.ref.WeakReference;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.LinkedHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import org.crac.CheckpointException;
import org.crac.Context;
import org.crac.Core;
import org.crac.Resource;
import org.crac.RestoreException;

/**
 * A function that uses the whole of org.crac: resources that it keeps and one that it drops, a context of its own, and
 * {@code Core.checkpointRestore()} from a thread of its own.
 *
 * <p>Bodies: {@code checkpoint} starts a thread that asks for one; {@code within} asks within the call; {@code veto} has
 * two resources refuse from now on, {@code agree} ends that. Each answer tells what has happened so far.
 */
public class CracUser {

    private final List<String> steps = new CopyOnWriteArrayList<>();
    private final List<Object> kept = new ArrayList<>();
    private final WeakReference<Step> dropped;
    private volatile boolean veto;
    // Differs in each process that was started, and is the same in all that were thawed from one.
    private final String token = Long.toHexString(System.nanoTime());

    private final class Step implements Resource {
        private final String name;

        Step(String name) {
            this.name = name;
        }

        @Override
        public void beforeCheckpoint(Context<? extends Resource> context) {
            steps.add("before " + name);
            if (veto && (name.equals("first") || name.equals("second"))) {
                throw new IllegalStateException(name + " refuses");
            }
        }

        @Override
        public void afterRestore(Context<? extends Resource> context) {
            steps.add("after " + name);
        }

        @Override
        public String toString() {
            return "step " + name;
        }
    }

    private static final class Nested extends Context<Resource> {
        private final List<Resource> resources = new ArrayList<>();

        @Override
        public void register(Resource resource) {
            resources.add(resource);
        }

        @Override
        public void beforeCheckpoint(Context<? extends Resource> context) throws CheckpointException {
            for (Resource resource : resources) {
                try {
                    resource.beforeCheckpoint(this);
                } catch (Exception e) {
                    CheckpointException failure = new CheckpointException();
                    failure.addSuppressed(e);
                    throw failure;
                }
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

    public CracUser() {
        Nested nested = new Nested();
        register(keep(new Step("first")));
        register(keep(nested));
        nested.register(new Step("inner"));
        register(keep(new Step("second")));
        dropped = registerDropped();
    }

    private WeakReference<Step> registerDropped() {
        Step step = new Step("dropped");
        register(step);
        return new WeakReference<>(step);
    }

    private static void register(Resource resource) {
        Core.getGlobalContext().register(resource);
    }

    private <T> T keep(T value) {
        kept.add(value);
        return value;
    }

    private void ask() {
        try {
            Core.checkpointRestore();
            steps.add("returned");
        } catch (CheckpointException | RestoreException e) {
            StringBuilder causes = new StringBuilder();
            for (Throwable cause : e.getSuppressed()) {
                causes.append(", ").append(cause.getMessage());
            }
            steps.add(e.getClass().getSimpleName() + ": " + e.getMessage() + causes);
        }
    }

    public Map<String, Object> call(String order) {
        switch (order.strip()) {
            case "checkpoint" -> new Thread(this::ask, "asker").start();
            case "within" -> ask();
            case "veto" -> veto = true;
            case "agree" -> veto = false;
            case "collect" -> {
                for (int i = 0; i < 100 && dropped.get() != null; i++) {
                    System.gc();
                }
            }
            default -> { }
        }
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("jdk", System.getProperty("java.specification.version"));
        out.put("token", token);
        out.put("droppedAlive", dropped.get() != null);
        out.put("steps", List.copyOf(steps));
        return out;
    }
}
