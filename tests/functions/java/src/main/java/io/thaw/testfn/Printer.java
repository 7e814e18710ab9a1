package io.thaw.testfn;

/** Prints much. */
public class Printer {

    private static final int LINE_BYTES = 128;

    public String print(String megabytes) {
        int wanted = megabytes.isBlank() ? 1 : Integer.parseInt(megabytes.strip());
        long lines = wanted * 1024L * 1024L / LINE_BYTES;
        String filler = "x".repeat(LINE_BYTES - 1 - 10);
        for (long i = 0; i < lines; i++) {
            String line = String.format("%010d", i) + filler;
            if (i % 2 == 0) {
                System.out.println(line);
            } else {
                System.err.println(line);
            }
        }
        return "printed " + lines + " lines";
    }
}
