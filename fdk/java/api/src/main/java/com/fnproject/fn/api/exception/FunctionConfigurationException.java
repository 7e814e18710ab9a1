package com.fnproject.fn.api.exception;

/** A configuration method or feature of the function is not allowed, or threw. */
public class FunctionConfigurationException extends FunctionLoadException {

    private static final long serialVersionUID = 1L;

    /**
     * @param message what is wrong
     * @param cause why
     */
    public FunctionConfigurationException(String message, Throwable cause) {
        super(message, cause);
    }

    /** @param message what is wrong */
    public FunctionConfigurationException(String message) {
        super(message);
    }
}
