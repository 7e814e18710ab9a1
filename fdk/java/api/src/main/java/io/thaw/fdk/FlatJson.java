package io.thaw.fdk;

import java.util.HashMap;
import java.util.Map;

/**
 * Reads a JSON object whose values are strings or null. By hand, because a function's own JSON library may
 * be any, or none, and a restore should load no class that it need not.
 */
final class FlatJson {

    private final String text;
    private int at;

    private FlatJson(String text) {
        this.text = text;
    }

    /**
     * @throws IllegalArgumentException when {@code text} is something else
     */
    static Map<String, String> parse(String text) {
        FlatJson json = new FlatJson(text);
        Map<String, String> result = json.object();
        json.skipBlanks();
        if (json.at != text.length()) {
            throw json.wrong();
        }
        return result;
    }

    private Map<String, String> object() {
        Map<String, String> result = new HashMap<>();
        expect('{');
        if (next() == '}') {
            at++;
            return result;
        }
        while (true) {
            expect('"');
            String key = string();
            expect(':');
            result.put(key, value());
            if (next() == '}') {
                at++;
                return result;
            }
            expect(',');
        }
    }

    private String value() {
        if (next() == 'n' && text.startsWith("null", at)) {
            at += 4;
            return null;
        }
        expect('"');
        return string();
    }

    // After the opening quote.
    private String string() {
        StringBuilder result = new StringBuilder();
        while (true) {
            char c = take();
            if (c == '"') {
                return result.toString();
            }
            result.append(c == '\\' ? escaped() : c);
        }
    }

    private char escaped() {
        char c = take();
        switch (c) {
            case '"', '\\', '/':
                return c;
            case 'b':
                return '\b';
            case 'f':
                return '\f';
            case 'n':
                return '\n';
            case 'r':
                return '\r';
            case 't':
                return '\t';
            case 'u':
                if (at + 4 > text.length()) {
                    throw wrong();
                }
                at += 4;
                return (char) Integer.parseInt(text.substring(at - 4, at), 16);
            default:
                throw wrong();
        }
    }

    private void skipBlanks() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private char next() {
        skipBlanks();
        if (at == text.length()) {
            throw wrong();
        }
        return text.charAt(at);
    }

    private char take() {
        if (at == text.length()) {
            throw wrong();
        }
        return text.charAt(at++);
    }

    private void expect(char c) {
        if (next() != c) {
            throw wrong();
        }
        at++;
    }

    private IllegalArgumentException wrong() {
        return new IllegalArgumentException("not an object of strings, at character " + at);
    }
}
