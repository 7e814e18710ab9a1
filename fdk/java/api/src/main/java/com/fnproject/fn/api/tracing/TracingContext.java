package com.fnproject.fn.api.tracing;

import com.fnproject.fn.api.InvocationContext;
import com.fnproject.fn.api.RuntimeContext;

/** The trace that a call belongs to (B3 headers), and where its spans go. */
public interface TracingContext {

    /** @return the call */
    InvocationContext getInvocationContext();

    /** @return the function's runtime */
    RuntimeContext getRuntimeContext();

    /** @return whether the platform wants spans; null never */
    Boolean isTracingEnabled();

    /** @return the app's name */
    String getAppName();

    /** @return the function's name */
    String getFunctionName();

    /** @return {@code app::function}, in lower case */
    String getServiceName();

    /** @return where spans are sent, the empty string when nowhere */
    String getTraceCollectorURL();

    /** @return the trace's id, the empty string when the call has none */
    String getTraceId();

    /** @return the id of the span that this call is, the empty string when it has none */
    String getSpanId();

    /** @return the id of the span above it, the empty string when there is none */
    String getParentSpanId();

    /** @return whether this trace is recorded; null never */
    Boolean isSampled();

    /** @return the trace's flags, the empty string when there are none */
    String getFlags();
}
