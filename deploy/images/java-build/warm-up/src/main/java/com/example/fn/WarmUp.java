package com.example.fn;

public class WarmUp {
    public String handle(String body) {
        return body;
    }
}
