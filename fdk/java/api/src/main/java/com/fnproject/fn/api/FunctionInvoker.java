package com.fnproject.fn.api;

import java.util.Optional;

/** A way to answer a call. The first invoker that gives an answer ends the search. */
public interface FunctionInvoker {

    /** When an invoker is asked. */
    enum Phase {
        /** Before {@link #Call}; for what may answer in the function's stead. */
        PreCall,
        /** Where the function's own method is called when no other invoker answers. */
        Call
    }

    /**
     * Answers the call, or declines.
     *
     * @param ctx the call
     * @param evt its input; an invoker that declines must not have consumed its body
     * @return the answer, or empty to let the next invoker try
     */
    Optional<OutputEvent> tryInvoke(InvocationContext ctx, InputEvent evt);
}
