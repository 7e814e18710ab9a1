package io.thaw.fdk.runtime.checkpoint;

import java.io.FileInputStream;
import java.io.IOException;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.nio.ByteBuffer;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Gives each restored copy of this process random numbers of its own.
 *
 * <p>Reached: SecureRandom's shared state (and with it random UUIDs), Math.random, Collections.shuffle,
 * the seeds that new Random, SplittableRandom and the jdk.random generators start from, and
 * ThreadLocalRandom of all live platform threads. The package's fields are private, so the JVM needs
 * {@code --add-opens}; see fdk/java/README.md. Not reached: generators that the function itself made
 * before the checkpoint and keeps, and ThreadLocalRandom of unmounted virtual threads.
 *
 * <p>What costs time, finding the fields, is done before the checkpoint.
 */
final class RandomReseeder {

    private static final String[] GENERATORS = {
        "L32X64MixRandom", "L64X128MixRandom", "L64X128StarStarRandom", "L64X256MixRandom", "L64X1024MixRandom",
        "L128X128MixRandom", "L128X256MixRandom", "L128X1024MixRandom", "Xoroshiro128PlusPlus", "Xoshiro256PlusPlus",
    };
    // Where the generators above live: up to JDK 22, and from JDK 23 on.
    private static final String[] GENERATOR_PACKAGES = {"jdk.random", "jdk.internal.random"};

    private final List<AtomicLong> seeds = new ArrayList<>();
    private final List<Random> generators = new ArrayList<>();
    private final List<String> unreachable = new ArrayList<>();
    private Field threadSeed;
    private SecureRandom secure;
    private boolean prepared;

    /** Finds what is to be re-seeded. Repeated calls do nothing. */
    void prepare() {
        if (prepared) {
            return;
        }
        prepared = true;
        secure = new SecureRandom();
        secure.nextInt();
        find("Math.random", "java.lang.Math$RandomNumberGeneratorHolder", "randomNumberGenerator");
        find("new Random", "java.util.Random", "seedUniquifier");
        find("new SplittableRandom", "java.util.SplittableRandom", "defaultGen");
        find("new threads' ThreadLocalRandom", "java.util.concurrent.ThreadLocalRandom", "seeder");
        for (String generator : GENERATORS) {
            findGenerator(generator);
        }
        try {
            threadSeed = open(Thread.class, "threadLocalRandomSeed");
        } catch (ReflectiveOperationException | RuntimeException e) {
            unreachable.add("live threads' ThreadLocalRandom (" + e.getMessage() + ")");
        }
        // Made at the first shuffle only; a null that stays null needs no seed.
        try {
            open(java.util.Collections.class, "r");
        } catch (ReflectiveOperationException | RuntimeException e) {
            unreachable.add("Collections.shuffle (" + e.getMessage() + ")");
        }
    }

    /** @return what could not be re-seeded, with the reasons; to be logged */
    List<String> reseed() {
        prepare();
        List<String> failures = new ArrayList<>(unreachable);
        // Straight from the kernel: every generator inside this process is the same in all copies.
        byte[] entropy = new byte[8 * (seeds.size() + generators.size() + 8)];
        try (FileInputStream urandom = new FileInputStream("/dev/urandom")) {
            if (urandom.readNBytes(entropy, 0, entropy.length) != entropy.length) {
                throw new IOException("end of file");
            }
        } catch (IOException e) {
            failures.add("everything (/dev/urandom: " + e.getMessage() + ")");
            return failures;
        }
        ByteBuffer random = ByteBuffer.wrap(entropy);
        // Mixes into the state that all instances of the JDK's default algorithm on Linux share.
        byte[] secureSeed = new byte[32];
        random.get(secureSeed);
        secure.setSeed(secureSeed);
        for (AtomicLong seed : seeds) {
            seed.set(random.getLong());
        }
        for (Random generator : generators) {
            generator.setSeed(random.getLong());
        }
        long threads = random.getLong();
        try {
            Object shuffle = staticValue(java.util.Collections.class, "r");
            if (shuffle instanceof Random generator) {
                generator.setSeed(random.getLong());
            }
        } catch (ReflectiveOperationException | RuntimeException e) {
            // Told in unreachable already.
        }
        if (threadSeed != null) {
            for (Thread thread : liveThreads()) {
                threads = mix(threads);
                try {
                    threadSeed.setLong(thread, threads);
                } catch (IllegalAccessException e) {
                    failures.add("ThreadLocalRandom of thread " + thread.getName());
                }
            }
        }
        Arrays.fill(entropy, (byte) 0);
        return failures;
    }

    private void find(String what, String className, String field) {
        try {
            add(staticValue(Class.forName(className), field));
        } catch (ReflectiveOperationException | RuntimeException e) {
            unreachable.add(what + " (" + e.getMessage() + ")");
        }
    }

    private void findGenerator(String name) {
        for (String in : GENERATOR_PACKAGES) {
            Class<?> type;
            try {
                type = Class.forName(in + "." + name);
            } catch (ClassNotFoundException e) {
                continue;
            }
            try {
                for (Field field : type.getDeclaredFields()) {
                    // Its name differs between generators.
                    if (Modifier.isStatic(field.getModifiers()) && field.getType() == AtomicLong.class) {
                        field.setAccessible(true);
                        add(field.get(null));
                    }
                }
            } catch (ReflectiveOperationException | RuntimeException e) {
                unreachable.add("new " + name + " (" + e.getMessage() + ")");
            }
            return;
        }
    }

    private void add(Object source) throws NoSuchFieldException {
        if (source instanceof AtomicLong seed) {
            seeds.add(seed);
        } else if (source instanceof Random generator) {
            generators.add(generator);
        } else {
            throw new NoSuchFieldException("unknown kind of seed in this JDK");
        }
    }

    private static Object staticValue(Class<?> type, String field) throws ReflectiveOperationException {
        return open(type, field).get(null);
    }

    private static Field open(Class<?> type, String name) throws ReflectiveOperationException {
        Field field = type.getDeclaredField(name);
        field.setAccessible(true);
        return field;
    }

    static Thread[] liveThreads() {
        ThreadGroup root = Thread.currentThread().getThreadGroup();
        while (root.getParent() != null) {
            root = root.getParent();
        }
        Thread[] threads = new Thread[root.activeCount() + 16];
        int count = root.enumerate(threads);
        while (count == threads.length) {
            threads = new Thread[2 * threads.length];
            count = root.enumerate(threads);
        }
        return Arrays.copyOf(threads, count);
    }

    // SplitMix64's step: seeds of neighbours must not resemble each other.
    private static long mix(long seed) {
        long z = seed + 0x9e3779b97f4a7c15L;
        z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        return z ^ (z >>> 31);
    }
}
