package io.thaw.testfn;

import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.SplittableRandom;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Supplier;
import java.util.random.RandomGenerator;
import java.util.stream.IntStream;

/** Draws from every generator of the JDK: two restored copies must not draw the same. */
public class Randoms {

    private static final int COUNT = 16;
    private static final SecureRandom KEPT_SECURE = new SecureRandom();

    public Map<String, List<String>> draw(String body) {
        Map<String, List<String>> out = new LinkedHashMap<>();
        out.put("SecureRandom", draws(() -> new SecureRandom().nextLong()));
        out.put("SecureRandom kept", draws(KEPT_SECURE::nextLong));
        out.put("UUID", draws(UUID::randomUUID));
        out.put("Math.random", draws(Math::random));
        out.put("ThreadLocalRandom", draws(() -> ThreadLocalRandom.current().nextLong()));
        out.put("SplittableRandom", draws(() -> new SplittableRandom().nextLong()));
        out.put("new Random", draws(() -> new Random().nextLong()));
        out.put("RandomGenerator", draws(() -> RandomGenerator.of("L64X128MixRandom").nextLong()));
        out.put("Collections.shuffle", draws(() -> {
            List<Integer> list = new ArrayList<>(IntStream.range(0, 32).boxed().toList());
            Collections.shuffle(list);
            return list;
        }));
        return out;
    }

    private static List<String> draws(Supplier<?> generator) {
        List<String> out = new ArrayList<>(COUNT);
        for (int i = 0; i < COUNT; i++) {
            out.add(String.valueOf(generator.get()));
        }
        return out;
    }
}
