package com.fnproject.fn.api.httpgateway;

import com.fnproject.fn.api.Headers;
import com.fnproject.fn.api.InvocationContext;
import com.fnproject.fn.api.QueryParameters;

/**
 * The HTTP request that a trigger turned into a call, and the HTTP answer that its client gets.
 *
 * <p>A function takes it as a parameter. Called by other means than a trigger, it sees no headers and
 * empty strings, and what it sets reaches nobody.
 */
public interface HTTPGatewayContext {

    /** @return the call beneath */
    InvocationContext getInvocationContext();

    /** @return the client's headers */
    Headers getHeaders();

    /** @return the absolute URL, query included */
    String getRequestURL();

    /** @return the HTTP method */
    String getMethod();

    /** @return the URL's query, decoded */
    QueryParameters getQueryParameters();

    /**
     * @param key a header of the client's answer
     * @param value a value to add
     */
    void addResponseHeader(String key, String value);

    /**
     * @param key a header of the client's answer
     * @param value replaces all values that it had
     * @param vs more values
     */
    void setResponseHeader(String key, String value, String... vs);

    /**
     * @param code the status of the client's answer
     * @throws IllegalArgumentException when it is not in 100..599
     */
    void setStatusCode(int code);
}
