package com.fnproject.fn.api;

import java.util.Optional;

/**
 * Makes one argument of the function's method out of a call.
 *
 * @param <T> the type of argument that it makes
 */
public interface InputCoercion<T> {

    /**
     * Makes the argument, or declines.
     *
     * @param currentContext the call
     * @param arg the parameter's index, from 0
     * @param input the call's input; a coercion that declines must not have consumed its body
     * @param method the function's method
     * @return the argument, or empty to let the next coercion try
     * @throws com.fnproject.fn.api.exception.FunctionInputHandlingException when this is the right
     *     coercion but the input can't be turned into the argument
     */
    Optional<T> tryCoerceParam(InvocationContext currentContext, int arg, InputEvent input, MethodWrapper method);
}
