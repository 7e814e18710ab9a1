package com.example.fn;

import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;

class WarmUpTest {
    @Test
    void answersTheBody() {
        Assertions.assertEquals("a", new WarmUp().handle("a"));
    }
}
