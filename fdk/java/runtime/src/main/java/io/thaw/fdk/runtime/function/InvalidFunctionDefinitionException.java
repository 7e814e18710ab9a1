package io.thaw.fdk.runtime.function;

import com.fnproject.fn.api.exception.FunctionLoadException;

/** The class or method named in the function's command does not exist or can't be a function. */
public final class InvalidFunctionDefinitionException extends FunctionLoadException {

    private static final long serialVersionUID = 1L;

    InvalidFunctionDefinitionException(String message, Throwable cause) {
        super(message, cause);
    }

    InvalidFunctionDefinitionException(String message) {
        super(message);
    }
}
