package com.fnproject.fn.api.exception;

/** The function's result can't be turned into an answer. */
public class FunctionOutputHandlingException extends RuntimeException {

    private static final long serialVersionUID = 1L;

    /**
     * @param message what is wrong
     * @param cause why
     */
    public FunctionOutputHandlingException(String message, Exception cause) {
        super(message, cause);
    }

    /** @param message what is wrong */
    public FunctionOutputHandlingException(String message) {
        super(message);
    }
}
