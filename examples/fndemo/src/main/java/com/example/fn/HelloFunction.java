package com.example.fn;

import java.security.SecureRandom;
import java.util.HexFormat;

/**
 * Says hello, and shows by its token and its count which process says so.
 *
 * <p>The static block stands for a framework that takes five seconds to start. A restored process
 * doesn't run it again: it answers with the token that was made before the freeze.
 */
public class HelloFunction {

    private static final Greeter GREETER;

    static {
        System.out.println("static block: starting");
        try {
            Thread.sleep(5_000);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        byte[] token = new byte[16];
        new SecureRandom().nextBytes(token);
        GREETER = new Greeter(HexFormat.of().formatHex(token));
        System.out.println("static block: done");
    }

    public String handleRequest(String input) {
        return GREETER.greet(input);
    }
}
