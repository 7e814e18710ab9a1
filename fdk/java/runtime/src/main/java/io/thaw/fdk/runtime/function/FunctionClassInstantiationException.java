package io.thaw.fdk.runtime.function;

import com.fnproject.fn.api.exception.FunctionLoadException;

/** An object of the function's class can't be made. */
public final class FunctionClassInstantiationException extends FunctionLoadException {

    private static final long serialVersionUID = 1L;

    FunctionClassInstantiationException(String message, Throwable cause) {
        super(message, cause);
    }

    FunctionClassInstantiationException(String message) {
        super(message);
    }
}
