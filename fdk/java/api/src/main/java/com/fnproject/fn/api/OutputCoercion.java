package com.fnproject.fn.api;

import java.util.Optional;

/** Turns what the function's method returned into the answer. */
public interface OutputCoercion {

    /**
     * Makes the answer, or declines.
     *
     * @param currentContext the call
     * @param method the function's method
     * @param value what it returned; null for {@code void} methods, too
     * @return the answer, or empty to let the next coercion try
     * @throws com.fnproject.fn.api.exception.FunctionOutputHandlingException when this is the right
     *     coercion but the value can't be written
     */
    Optional<OutputEvent> wrapFunctionResult(InvocationContext currentContext, MethodWrapper method, Object value);
}
