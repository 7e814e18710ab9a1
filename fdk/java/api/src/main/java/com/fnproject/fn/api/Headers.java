package com.fnproject.fn.api;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;

/**
 * HTTP headers. Immutable: each method that changes something returns a new object.
 *
 * <p>Names are kept in canonical form ({@code Content-Type}), and looked up whatever their case.
 * Values of one name keep their order.
 */
public final class Headers implements Serializable {

    private static final long serialVersionUID = 1L;

    private static final Headers EMPTY = new Headers(Collections.emptyMap());

    // Keys canonical; neither the map nor a list in it is ever changed once this object holds it.
    private final Map<String, List<String>> values;

    private Headers(Map<String, List<String>> values) {
        this.values = values;
    }

    /**
     * @param key a header's name
     * @return the name with the first letter of each part upper case and all others lower case; as it
     *     is when it holds anything but letters, digits and hyphens
     */
    public static String canonicalKey(String key) {
        int length = key.length();
        boolean canonical = true;
        boolean upper = true;
        for (int i = 0; i < length; i++) {
            char c = key.charAt(i);
            boolean lowerLetter = c >= 'a' && c <= 'z';
            boolean upperLetter = c >= 'A' && c <= 'Z';
            if (!lowerLetter && !upperLetter && c != '-' && !(c >= '0' && c <= '9')) {
                return key;
            }
            if (upper ? lowerLetter : upperLetter) {
                canonical = false;
            }
            upper = c == '-';
        }
        if (canonical) {
            return key;
        }
        char[] out = new char[length];
        upper = true;
        for (int i = 0; i < length; i++) {
            char c = key.charAt(i);
            if (upper && c >= 'a' && c <= 'z') {
                c -= 'a' - 'A';
            } else if (!upper && c >= 'A' && c <= 'Z') {
                c += 'a' - 'A';
            }
            out[i] = c;
            upper = c == '-';
        }
        return new String(out);
    }

    /**
     * @param headers one value per name
     * @return headers of these
     */
    public static Headers fromMap(Map<String, String> headers) {
        Map<String, List<String>> out = new LinkedHashMap<>();
        headers.forEach((key, value) -> append(out, key, List.of(value)));
        return out.isEmpty() ? EMPTY : new Headers(frozen(out));
    }

    /**
     * @param headers values per name; names that differ only in case are joined
     * @return headers of these
     */
    public static Headers fromMultiHeaderMap(Map<String, List<String>> headers) {
        Map<String, List<String>> out = new LinkedHashMap<>();
        headers.forEach((key, list) -> append(out, key, list));
        return out.isEmpty() ? EMPTY : new Headers(frozen(out));
    }

    /** @return no headers */
    public static Headers emptyHeaders() {
        return EMPTY;
    }

    /**
     * @param headers values per name; each replaces all values that its name had
     * @return these headers with those set
     */
    public Headers setHeaders(Map<String, List<String>> headers) {
        if (headers.isEmpty()) {
            return this;
        }
        Map<String, List<String>> out = new LinkedHashMap<>(values);
        headers.forEach((key, list) -> out.put(canonicalKey(key), copy(list)));
        return new Headers(Collections.unmodifiableMap(out));
    }

    /**
     * @param key a header's name
     * @param v1 a value to add after those that are there
     * @param vs more of them
     * @return these headers with the values added
     */
    public Headers addHeader(String key, String v1, String... vs) {
        Map<String, List<String>> out = new LinkedHashMap<>(values);
        String name = canonicalKey(key);
        List<String> list = new ArrayList<>(out.getOrDefault(name, List.of()));
        list.addAll(listOf(v1, vs));
        out.put(name, copy(list));
        return new Headers(Collections.unmodifiableMap(out));
    }

    /**
     * @param key a header's name
     * @param v1 its value
     * @param vs more values
     * @return these headers with the name's values replaced
     */
    public Headers setHeader(String key, String v1, String... vs) {
        return setHeader(key, listOf(v1, vs));
    }

    /**
     * @param key a header's name
     * @param vs its values
     * @return these headers with the name's values replaced
     */
    public Headers setHeader(String key, Collection<String> vs) {
        Map<String, List<String>> out = new LinkedHashMap<>(values);
        out.put(canonicalKey(key), copy(vs));
        return new Headers(Collections.unmodifiableMap(out));
    }

    /**
     * @param key a header's name
     * @return these headers without it; this object when it isn't there
     */
    public Headers removeHeader(String key) {
        String name = canonicalKey(key);
        if (!values.containsKey(name)) {
            return this;
        }
        Map<String, List<String>> out = new LinkedHashMap<>(values);
        out.remove(name);
        return new Headers(Collections.unmodifiableMap(out));
    }

    /**
     * @param key a header's name
     * @return its first value
     */
    public Optional<String> get(String key) {
        List<String> list = values.get(canonicalKey(key));
        return list == null || list.isEmpty() ? Optional.empty() : Optional.of(list.get(0));
    }

    /** @return the canonical names */
    public Collection<String> keys() {
        return values.keySet();
    }

    /** @return the values by canonical name; can't be changed */
    public Map<String, List<String>> asMap() {
        return values;
    }

    /**
     * The same as {@link #asMap}, without type arguments.
     *
     * @return the values by canonical name; can't be changed
     */
    @SuppressWarnings("rawtypes")
    public Map getAll() {
        return values;
    }

    /**
     * @param key a header's name
     * @return all its values, none when it isn't there
     */
    public List<String> getAllValues(String key) {
        return values.getOrDefault(canonicalKey(key), List.of());
    }

    @Override
    public int hashCode() {
        return values.hashCode();
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Headers && values.equals(((Headers) other).values);
    }

    @Override
    public String toString() {
        return values.toString();
    }

    private static void append(Map<String, List<String>> out, String key, Collection<String> more) {
        out.computeIfAbsent(canonicalKey(Objects.requireNonNull(key, "header name")), k -> new ArrayList<>(1))
                .addAll(more);
    }

    private static Map<String, List<String>> frozen(Map<String, List<String>> map) {
        map.replaceAll((key, list) -> copy(list));
        return Collections.unmodifiableMap(map);
    }

    private static List<String> copy(Collection<String> list) {
        return List.copyOf(list);
    }

    private static List<String> listOf(String v1, String[] vs) {
        Objects.requireNonNull(v1, "header value");
        if (vs.length == 0) {
            return List.of(v1);
        }
        List<String> list = new ArrayList<>(vs.length + 1);
        list.add(v1);
        list.addAll(Arrays.asList(vs));
        return list;
    }
}
