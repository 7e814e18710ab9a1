package io.thaw.testfn;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.crac.Context;
import org.crac.Core;
import org.crac.Resource;

/** Two resources of org.crac, of which the second throws on demand. */
public class CracRecorder {

    private final List<String> callbacks = new ArrayList<>();
    private final Recorder first = new Recorder("first");
    private final Recorder second = new Recorder("second");
    private String fault = "none";

    public CracRecorder() {
        Core.getGlobalContext().register(first);
        Core.getGlobalContext().register(second);
    }

    private final class Recorder implements Resource {
        private final String name;

        Recorder(String name) {
            this.name = name;
        }

        @Override
        public void beforeCheckpoint(Context<? extends Resource> context) {
            callbacks.add("before " + name);
            System.err.println("CracRecorder: before " + name);
            if (this == second && fault.equals("veto")) {
                throw new IllegalStateException("veto on demand");
            }
        }

        @Override
        public void afterRestore(Context<? extends Resource> context) {
            callbacks.add("after " + name);
            System.err.println("CracRecorder: after " + name);
            if (this == second && fault.equals("veto-restore")) {
                throw new IllegalStateException("failure after restore on demand");
            }
        }

        @Override
        public String toString() {
            return "recorder " + name;
        }
    }

    public Map<String, Object> call(String order) {
        if (!order.isBlank()) {
            fault = order.strip();
        }
        Map<String, Object> out = new LinkedHashMap<>();
        out.put("fault", fault);
        out.put("callbacks", callbacks);
        return out;
    }

    public String checkpoint(String body) {
        try {
            Core.checkpointRestore();
            return "done";
        } catch (Exception e) {
            return e.toString();
        }
    }
}
