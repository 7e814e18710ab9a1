import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.SplittableRandom;
import java.util.UUID;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Supplier;
import java.util.random.RandomGenerator;
import java.util.stream.IntStream;

public class Draw {
    private static final Random KEPT = new Random(42);
    private static final SplittableRandom KEPT_SPLITTABLE = new SplittableRandom(42);
    private static final SecureRandom KEPT_SECURE = new SecureRandom();
    // Threads that live from before the freezing.
    private static final ExecutorService OLD_THREAD = Executors.newSingleThreadExecutor();


    private static String bytes(SecureRandom random) {
        byte[] bytes = new byte[16];
        random.nextBytes(bytes);
        return HexFormat.of().formatHex(bytes);
    }

    private static String two(Supplier<Long> source) {
        return Long.toHexString(source.get()) + "/" + Long.toHexString(source.get());
    }

    private static String inThread(Supplier<String> source, ExecutorService executor) {
        try {
            return executor.submit(source::get).get();
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    private static String inNewThread(Supplier<String> source) {
        String[] result = new String[1];
        Thread thread = new Thread(() -> result[0] = source.get());
        thread.start();
        try {
            thread.join();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
        return result[0];
    }

    private static String shuffled() {
        List<Integer> list = new ArrayList<>(IntStream.range(0, 64).boxed().toList());
        Collections.shuffle(list);
        return list.toString().replace(" ", "");
    }

    public static void main(String[] arguments) throws Exception {
        SecureRandom drbg = SecureRandom.getInstance("DRBG");
        Supplier<String> local = () -> two(() -> ThreadLocalRandom.current().nextLong());
        Map<String, Supplier<String>> sources = new LinkedHashMap<>();
        sources.put("SecureRandom", () -> bytes(new SecureRandom()));
        sources.put("SecureRandom-kept", () -> bytes(KEPT_SECURE));
        sources.put("SecureRandom-DRBG-kept", () -> bytes(drbg));
        sources.put("Random", () -> two(new Random()::nextLong));
        sources.put("Random-kept", () -> two(KEPT::nextLong));
        sources.put("ThreadLocalRandom", local);
        sources.put("ThreadLocalRandom-old-thread", () -> inThread(local, OLD_THREAD));
        sources.put("ThreadLocalRandom-new-thread", () -> inNewThread(local));
        sources.put("SplittableRandom", () -> two(new SplittableRandom()::nextLong));
        sources.put("SplittableRandom-kept", () -> two(KEPT_SPLITTABLE::nextLong));
        sources.put("UUID", () -> UUID.randomUUID().toString());
        sources.put("Math.random", () -> Math.random() + "/" + Math.random());
        sources.put("RandomGenerator", () -> two(RandomGenerator.of("L64X128MixRandom")::nextLong));
        sources.put("shuffle", Draw::shuffled);
        sources.values().forEach(Supplier::get);

        try (ServerSocketChannel listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            listener.bind(UnixDomainSocketAddress.of("/tmp/iofs/draw.sock"));
            Files.createSymbolicLink(Path.of("/tmp/iofs/lsnr.sock"), Path.of("draw.sock"));
            while (true) {
                try (SocketChannel peer = listener.accept()) {
                    answer(peer, sources);
                }
            }
        }
    }

    private static void answer(SocketChannel peer, Map<String, Supplier<String>> sources) throws IOException {
        ByteBuffer line = ByteBuffer.allocate(64);
        do {
            if (peer.read(line) < 0) return;
        } while (line.get(line.position() - 1) != '\n');
        int count = Integer.parseInt(new String(line.array(), 0, line.position(), StandardCharsets.US_ASCII).trim());
        StringBuilder text = new StringBuilder();
        sources.forEach((name, source) -> {
            for (int i = 0; i < count; i++) {
                text.append(name).append(' ').append(source.get()).append('\n');
            }
        });
        ByteBuffer answer = ByteBuffer.wrap(text.toString().getBytes(StandardCharsets.US_ASCII));
        while (answer.hasRemaining()) peer.write(answer);
    }
}
