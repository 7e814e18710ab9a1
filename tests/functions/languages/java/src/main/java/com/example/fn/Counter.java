package com.example.fn;

/** Answers with the number of its calls so far. */
public class Counter {
    private int calls;

    public String handle() {
        return Integer.toString(++calls);
    }
}
