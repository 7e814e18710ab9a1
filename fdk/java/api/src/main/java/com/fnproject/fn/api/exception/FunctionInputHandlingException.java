package com.fnproject.fn.api.exception;

/** An argument of the function can't be made out of the call. */
public class FunctionInputHandlingException extends RuntimeException {

    private static final long serialVersionUID = 1L;

    /**
     * @param message what is wrong
     * @param cause why
     */
    public FunctionInputHandlingException(String message, Throwable cause) {
        super(message, cause);
    }

    /** @param message what is wrong */
    public FunctionInputHandlingException(String message) {
        super(message);
    }
}
