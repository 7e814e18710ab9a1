package io.thaw.fdk.runtime.function;

/** The function itself threw; its own throwable is the cause. */
public final class FunctionFailedException extends RuntimeException {

    private static final long serialVersionUID = 1L;

    FunctionFailedException(Throwable cause) {
        super(cause);
    }
}
