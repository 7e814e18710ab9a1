package com.fnproject.fn.api;

import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The query of a request URL, decoded. Names are case-sensitive; values keep their order. */
public interface QueryParameters {

    /**
     * @param key a parameter's name
     * @return its first value, the empty string for a parameter without one
     */
    Optional<String> get(String key);

    /**
     * @param key a parameter's name
     * @return all its values, none when it isn't there
     */
    List<String> getValues(String key);

    /** @return the values by name; can't be changed */
    Map<String, List<String>> getAll();
}
