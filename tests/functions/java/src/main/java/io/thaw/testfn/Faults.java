package io.thaw.testfn;

import java.util.Arrays;

/** Does what functions should not do. */
public class Faults {

    public String slow(String millis) throws InterruptedException {
        long wanted = Long.parseLong(millis.strip());
        Thread.sleep(wanted);
        return "slept " + wanted;
    }

    public void hang(String body) throws InterruptedException {
        System.err.println("hanging");
        synchronized (this) {
            while (true) {
                wait();
            }
        }
    }

    public void exit(String status) {
        System.err.println("exiting");
        System.exit(status.isBlank() ? 1 : Integer.parseInt(status.strip()));
    }

    public void crash(String body) {
        throw new IllegalStateException("crash on demand: " + body);
    }

    public byte[] large(String bytes) {
        byte[] out = new byte[Integer.parseInt(bytes.strip())];
        Arrays.fill(out, (byte) 'x');
        return out;
    }
}
