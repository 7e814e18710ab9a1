package com.example.fn;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class GreeterTest {

    private final Greeter greeter = new Greeter("t0");

    @Test
    void greetsTheWorldWhenNobodyIsNamed() {
        assertEquals("{\"message\":\"Hello, world!\",\"token\":\"t0\",\"calls\":1}", greeter.greet(" \n"));
    }

    @Test
    void countsCallsAndKeepsTheToken() {
        greeter.greet("a");
        assertEquals("{\"message\":\"Hello, b!\",\"token\":\"t0\",\"calls\":2}", greeter.greet("b"));
    }

    @Test
    void namesAreEscaped() {
        assertEquals("{\"message\":\"Hello, \\\"x\\\\\\u0007!\",\"token\":\"t0\",\"calls\":1}", greeter.greet("\"x\\\u0007"));
    }
}
