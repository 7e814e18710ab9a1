package com.fnproject.fn.api.exception;

/** The function can't be loaded: its class, method or configuration is not as it has to be. */
public abstract class FunctionLoadException extends RuntimeException {

    private static final long serialVersionUID = 1L;

    /**
     * @param message what is wrong
     * @param cause why
     */
    public FunctionLoadException(String message, Throwable cause) {
        super(message, cause);
    }

    /** @param message what is wrong */
    public FunctionLoadException(String message) {
        super(message);
    }
}
