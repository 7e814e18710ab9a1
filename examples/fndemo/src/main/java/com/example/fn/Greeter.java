package com.example.fn;

/** What the demo function answers; apart from it so that tests need not wait five seconds. */
final class Greeter {

    private final String token;
    private long calls;

    /** @param token tells this process from others */
    Greeter(String token) {
        this.token = token;
    }

    /**
     * @param input whom to greet; empty for the world
     * @return JSON with the greeting, the token, and the number of calls so far, this one included
     */
    synchronized String greet(String input) {
        String name = input == null || input.isBlank() ? "world" : input.strip();
        calls++;
        return "{\"message\":\"Hello, " + escape(name) + "!\",\"token\":\"" + token + "\",\"calls\":" + calls + "}";
    }

    private static String escape(String text) {
        StringBuilder out = new StringBuilder(text.length());
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') {
                out.append('\\').append(c);
            } else if (c < 0x20) {
                out.append(String.format("\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        return out.toString();
    }
}
