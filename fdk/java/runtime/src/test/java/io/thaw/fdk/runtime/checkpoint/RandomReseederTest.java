package io.thaw.fdk.runtime.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;
import java.util.random.RandomGenerator;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class RandomReseederTest {

    private static Object field(Class<?> type, String name, Object of) throws ReflectiveOperationException {
        Field field = type.getDeclaredField(name);
        field.setAccessible(true);
        return field.get(of);
    }

    // What a restore does: the generators' state is what it was at the dump.
    private static void restoreState() throws ReflectiveOperationException {
        ((Random) field(Class.forName("java.lang.Math$RandomNumberGeneratorHolder"), "randomNumberGenerator", null))
                .setSeed(1);
        ((AtomicLong) field(SplittableRandom.class, "defaultGen", null)).set(1);
        ((AtomicLong) field(RandomGenerator.of("L64X128MixRandom").getClass(), "defaultGen", null)).set(1);
        ((Random) field(Collections.class, "r", null)).setSeed(1);
        Field threadSeed = Thread.class.getDeclaredField("threadLocalRandomSeed");
        threadSeed.setAccessible(true);
        threadSeed.setLong(Thread.currentThread(), 1);
    }

    private static Map<String, String> draw() {
        Map<String, Supplier<Object>> generators = Map.of(
                "Math.random", Math::random,
                "SplittableRandom", () -> new SplittableRandom().nextLong(),
                "L64X128MixRandom", () -> RandomGenerator.of("L64X128MixRandom").nextLong(),
                "ThreadLocalRandom", () -> ThreadLocalRandom.current().nextLong(),
                "Collections.shuffle", () -> {
                    List<Integer> list = new ArrayList<>(IntStream.range(0, 64).boxed().toList());
                    Collections.shuffle(list);
                    return list;
                });
        Map<String, String> drawn = new TreeMap<>();
        generators.forEach((name, generator) -> drawn.put(name, String.valueOf(generator.get())));
        return drawn;
    }

    @Test
    void twoCopiesOfOneStateDrawDifferentNumbers() throws Exception {
        RandomReseeder reseeder = new RandomReseeder();
        reseeder.prepare();
        draw();

        restoreState();
        Map<String, String> untreated = draw();
        restoreState();
        assertEquals(untreated, draw(), "the test's own premise: without re-seeding they are the same");

        restoreState();
        assertEquals(List.of(), reseeder.reseed());
        Map<String, String> first = draw();
        restoreState();
        assertEquals(List.of(), reseeder.reseed());
        Map<String, String> second = draw();
        for (String generator : untreated.keySet()) {
            assertNotEquals(untreated.get(generator), first.get(generator), generator);
            assertNotEquals(first.get(generator), second.get(generator), generator);
        }
    }

    @Test
    void theSeedOfNewRandomsIsReplaced() throws Exception {
        AtomicLong uniquifier = (AtomicLong) field(Random.class, "seedUniquifier", null);
        uniquifier.set(1);
        RandomReseeder reseeder = new RandomReseeder();
        assertEquals(List.of(), reseeder.reseed());
        assertNotEquals(1, uniquifier.get());
    }
}
