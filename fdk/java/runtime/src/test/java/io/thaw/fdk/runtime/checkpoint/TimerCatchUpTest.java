package io.thaw.fdk.runtime.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.reflect.Field;
import java.util.Date;
import java.util.Timer;
import java.util.TimerTask;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class TimerCatchUpTest {

    private static final long HOUR = 3_600_000;

    private final Timer timer = new Timer("catch-up", true);
    private final Semaphore ran = new Semaphore(0);
    private final TimerTask task = new TimerTask() {
        @Override
        public void run() {
            ran.release();
        }
    };

    @AfterEach
    void end() {
        timer.cancel();
    }

    private static Field next() throws ReflectiveOperationException {
        Field field = TimerTask.class.getDeclaredField("nextExecutionTime");
        field.setAccessible(true);
        return field;
    }

    // As if the process had been frozen: the task was due so long ago, and its timer sleeps on.
    private static void freeze(TimerTask task, long millis) throws ReflectiveOperationException {
        // Not before it sleeps: a thread that is still starting would see at once what is due.
        while (Thread.getAllStackTraces().keySet().stream()
                .noneMatch(thread -> thread.getName().equals("catch-up") && thread.getState() == Thread.State.TIMED_WAITING)) {
            Thread.onSpinWait();
        }
        next().setLong(task, next().getLong(task) - millis);
    }

    @Test
    void aFixedRateTaskRunsOnceForAllThatItMissedAndKeepsItsRate() throws Exception {
        timer.scheduleAtFixedRate(task, HOUR, HOUR);
        long due = next().getLong(task);
        freeze(task, 100 * HOUR + HOUR);
        new TimerCatchUp().skipMissed(System.currentTimeMillis());
        assertTrue(ran.tryAcquire(10, TimeUnit.SECONDS), "it is due, and its timer must look at the clock again");
        // A second run would come at once: nothing else is due for an hour.
        assertEquals(false, ran.tryAcquire(200, TimeUnit.MILLISECONDS));
        assertEquals(due, next().getLong(task), "as if it had never been frozen");
    }

    @Test
    void withoutItEachMissedPeriodIsMadeUpFor() throws Exception {
        timer.scheduleAtFixedRate(task, HOUR, HOUR);
        freeze(task, 100 * HOUR + HOUR);
        // A task that is due before all others makes the timer look at the clock.
        timer.schedule(new TimerTask() {
            @Override
            public void run() {
            }
        }, new Date(0));
        assertTrue(ran.tryAcquire(100, 10, TimeUnit.SECONDS));
    }

    @Test
    void whatIsNotDueYetStays() throws Exception {
        timer.scheduleAtFixedRate(task, HOUR, HOUR);
        long due = next().getLong(task);
        new TimerCatchUp().skipMissed(System.currentTimeMillis());
        assertEquals(due, next().getLong(task));
        assertEquals(0, ran.availablePermits());
    }

    @Test
    void aSingleTaskThatIsOverdueRunsOnce() throws Exception {
        timer.schedule(task, HOUR);
        freeze(task, 2 * HOUR);
        new TimerCatchUp().skipMissed(System.currentTimeMillis());
        assertTrue(ran.tryAcquire(10, TimeUnit.SECONDS));
    }

    @Test
    void aTimerRunsNothingWhileItIsHeldAndMakesUpForNothingAfterwards() throws Exception {
        timer.scheduleAtFixedRate(task, 0, 100);
        assertTrue(ran.tryAcquire(10, TimeUnit.SECONDS));
        int[] inside = {-1};
        new TimerCatchUp().hold(() -> {
            // What had begun before may end.
            LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(50));
            ran.drainPermits();
            LockSupport.parkNanos(TimeUnit.SECONDS.toNanos(2));
            inside[0] = ran.availablePermits();
        });
        assertEquals(0, inside[0]);
        assertTrue(ran.tryAcquire(10, TimeUnit.SECONDS), "it goes on");
        assertTrue(ran.availablePermits() < 10, () -> ran.availablePermits() + " runs at once, of 20 missed");
    }

    @Test
    void aTimerGoesOnWhenTheFreezeFails() throws Exception {
        timer.scheduleAtFixedRate(task, 0, 100);
        assertThrows(IOException.class, () -> new TimerCatchUp().hold(() -> {
            throw new IOException("no thaw-init");
        }));
        ran.drainPermits();
        assertTrue(ran.tryAcquire(10, TimeUnit.SECONDS));
    }
}
