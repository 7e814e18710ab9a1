import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Prints what each of a new JVM's first calls of one workload took, in microseconds, one a line.
 *
 * <p>README.md beside it says how the curves were made from its output.
 */
public final class Record {
  private static final String TEXT =
      IntStream.range(0, 400).mapToObj(i -> "word" + i % 37 + " Value-" + i * 7919 % 1000).collect(Collectors.joining(" "));

  private static int words() {
    Map<String, Integer> counts = new TreeMap<>();
    Matcher matcher = Pattern.compile("[A-Za-z]+[0-9]*").matcher(TEXT);
    while (matcher.find()) counts.merge(matcher.group().toLowerCase(), 1, Integer::sum);
    return counts.size();
  }

  private static int json() {
    StringBuilder out = new StringBuilder("{");
    Map<String, Object> order = new HashMap<>();
    for (int i = 0; i < 120; ++i) order.put("key" + i, i % 3 == 0 ? "text " + i : Integer.valueOf(i));
    order.forEach((key, value) -> {
      if (out.length() > 1) out.append(',');
      out.append('"').append(key).append("\":");
      if (value instanceof String) out.append(String.format("\"%s\"", value)); else out.append(value);
    });
    return out.append('}').toString().hashCode();
  }

  private static int digest() throws Exception {
    byte[] sum = TEXT.getBytes(StandardCharsets.UTF_8);
    for (int i = 0; i < 20; ++i) sum = MessageDigest.getInstance("SHA-256").digest(sum);
    return sum[0];
  }

  public static void main(String[] arguments) throws Exception {
    int calls = Integer.parseInt(arguments[1]);
    long[] took = new long[calls];
    int sink = 0;
    for (int i = 0; i < calls; ++i) {
      long begun = System.nanoTime();
      switch (arguments[0]) {
        case "words" -> sink += words();
        case "json" -> sink += json();
        default -> sink += digest();
      }
      took[i] = System.nanoTime() - begun;
    }
    for (long each : took) System.out.println(each / 1000);
    System.err.println(sink);
  }
}
