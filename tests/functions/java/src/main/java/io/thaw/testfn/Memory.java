package io.thaw.testfn;

import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.List;
import sun.misc.Unsafe;

/** Takes memory and keeps it. */
public class Memory {

    private static final int MEGABYTE = 1024 * 1024;

    private final List<byte[]> kept = new ArrayList<>();

    public String eat(String order) throws ReflectiveOperationException {
        String[] words = order.strip().split("\\s+");
        if (words.length != 2) {
            throw new IllegalArgumentException("say \"heap MB\" or \"native MB\", not \"" + order + "\"");
        }
        int megabytes = Integer.parseInt(words[1]);
        switch (words[0]) {
            case "heap" -> eatHeap(megabytes);
            case "native" -> eatNative(megabytes);
            default -> throw new IllegalArgumentException("no such memory: " + words[0]);
        }
        return "ate " + megabytes;
    }

    private void eatHeap(int megabytes) {
        for (int i = 0; i < megabytes; i++) {
            byte[] piece = new byte[MEGABYTE];
            for (int at = 0; at < piece.length; at += 4096) {
                piece[at] = (byte) i;
            }
            kept.add(piece);
        }
    }

    // Outside of all limits that the JVM sets itself: only the container's can stop it.
    private static void eatNative(int megabytes) throws ReflectiveOperationException {
        Field field = Unsafe.class.getDeclaredField("theUnsafe");
        field.setAccessible(true);
        Unsafe unsafe = (Unsafe) field.get(null);
        for (int i = 0; i < megabytes; i++) {
            long address = unsafe.allocateMemory(MEGABYTE);
            unsafe.setMemory(address, MEGABYTE, (byte) (i + 1));
        }
    }
}
