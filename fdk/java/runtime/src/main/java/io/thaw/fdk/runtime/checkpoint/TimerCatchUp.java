package io.thaw.fdk.runtime.checkpoint;

import java.io.IOException;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.List;
import java.util.TimerTask;
import jdk.crac.CheckpointException;

/**
 * Keeps {@link java.util.Timer}s from making up for the time that the process was frozen: a fixed-rate task
 * goes by the time of day, and would run once for each period that it missed, all at once. It runs once, and
 * then on at its rate.
 *
 * <p>Executors need nothing of the kind: they go by {@code System.nanoTime}, which stands still meanwhile.
 */
final class TimerCatchUp {

    /** What is done while no timer runs. */
    interface Freeze {
        void run() throws IOException, CheckpointException;
    }

    private Class<?> timerThread;
    private Field queueOfThread;
    private Field tasks;
    private Field size;
    private Field nextExecutionTime;
    private Field period;
    private Method heapify;
    private boolean prepared;

    /** Finds the fields, which costs time. Repeated calls do nothing. */
    void prepare() {
        if (prepared) {
            return;
        }
        prepared = true;
        try {
            Class<?> queue = Class.forName("java.util.TaskQueue");
            Class<?> thread = Class.forName("java.util.TimerThread");
            queueOfThread = open(thread, "queue");
            tasks = open(queue, "queue");
            size = open(queue, "size");
            nextExecutionTime = open(TimerTask.class, "nextExecutionTime");
            period = open(TimerTask.class, "period");
            heapify = queue.getDeclaredMethod("heapify");
            heapify.setAccessible(true);
            timerThread = thread;
        } catch (ReflectiveOperationException | RuntimeException e) {
            System.err.println("checkpoint: java.util.Timer will make up for the time frozen (" + e.getMessage() + ")");
        }
    }

    /**
     * Freezes with all timers standing still, and moves their tasks on before one of them can look at the clock: a
     * restored process runs for a while before it is told that it was restored.
     *
     * @param freeze returns or throws in the woken process
     */
    void hold(Freeze freeze) throws IOException, CheckpointException {
        prepare();
        List<Object> queues = new ArrayList<>();
        if (timerThread != null) {
            for (Thread thread : RandomReseeder.liveThreads()) {
                if (timerThread.isInstance(thread)) {
                    try {
                        queues.add(queueOfThread.get(thread));
                    } catch (ReflectiveOperationException e) {
                        System.err.println("checkpoint: timer " + thread.getName()
                                + " can't be held, and will make up for the time frozen (" + e.getMessage() + ")");
                    }
                }
            }
        }
        hold(queues, 0, freeze);
    }

    // Timers take their queue's lock only to look at it, and never two of them: no order of these can block for ever.
    private void hold(List<Object> queues, int held, Freeze freeze) throws IOException, CheckpointException {
        if (held < queues.size()) {
            synchronized (queues.get(held)) {
                hold(queues, held + 1, freeze);
            }
            return;
        }
        try {
            freeze.run();
        } finally {
            skipMissed(System.currentTimeMillis());
        }
    }

    /**
     * Moves each fixed-rate task on to the last time it was due, and has all timers look at the clock again.
     *
     * @param now the time of day
     */
    void skipMissed(long now) {
        prepare();
        if (timerThread == null) {
            return;
        }
        for (Thread thread : RandomReseeder.liveThreads()) {
            if (!timerThread.isInstance(thread)) {
                continue;
            }
            try {
                skipMissed(queueOfThread.get(thread), now);
            } catch (ReflectiveOperationException e) {
                System.err.println("checkpoint: timer " + thread.getName() + " will make up for the time frozen ("
                        + e.getMessage() + ")");
            }
        }
    }

    private void skipMissed(Object queue, long now) throws ReflectiveOperationException {
        // The timer's own lock, under which it looks at its tasks.
        synchronized (queue) {
            TimerTask[] heap = (TimerTask[]) tasks.get(queue);
            int count = size.getInt(queue);
            for (int i = 1; i <= count; i++) {
                long every = period.getLong(heap[i]);
                long due = nextExecutionTime.getLong(heap[i]);
                // Below zero: a fixed delay, which never makes up for anything.
                if (every > 0 && due < now) {
                    nextExecutionTime.setLong(heap[i], due + (now - due) / every * every);
                }
            }
            heapify.invoke(queue);
            // It sleeps by a clock that stood still, and would come late by the time it was frozen.
            queue.notifyAll();
        }
    }

    private static Field open(Class<?> type, String name) throws ReflectiveOperationException {
        Field field = type.getDeclaredField(name);
        field.setAccessible(true);
        return field;
    }
}
