package io.thaw.testfn;

import com.fnproject.fn.api.InvocationContext;
import java.time.Instant;
import java.util.Timer;
import java.util.TimerTask;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/** Runs two fixed-rate schedules of 100 ms and tells how often, and what its clocks say. */
public class Schedules {

    private static final AtomicLong EXECUTOR = new AtomicLong();
    private static final AtomicLong TIMER = new AtomicLong();

    static {
        Executors.newSingleThreadScheduledExecutor(runnable -> {
            Thread thread = new Thread(runnable, "schedule");
            thread.setDaemon(true);
            return thread;
        }).scheduleAtFixedRate(EXECUTOR::incrementAndGet, 100, 100, TimeUnit.MILLISECONDS);
        new Timer("timer", true).scheduleAtFixedRate(new TimerTask() {
            @Override
            public void run() {
                TIMER.incrementAndGet();
            }
        }, 100, 100);
    }

    /** @return {@code executor=N timer=N nano=N now=MILLIS} */
    public String handleRequest(InvocationContext context) {
        return "executor=" + EXECUTOR + " timer=" + TIMER + " nano=" + System.nanoTime() + " now="
                + Instant.now().toEpochMilli();
    }
}
