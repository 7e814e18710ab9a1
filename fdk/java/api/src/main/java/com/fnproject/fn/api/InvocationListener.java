package com.fnproject.fn.api;

import java.util.EventListener;

/** Is told how a call ended, before the answer is sent. Exceptions are logged and go no further. */
public interface InvocationListener extends EventListener {

    /** The function returned. */
    void onSuccess();

    /** The function, or making its argument or answer, threw. */
    void onFailure();
}
