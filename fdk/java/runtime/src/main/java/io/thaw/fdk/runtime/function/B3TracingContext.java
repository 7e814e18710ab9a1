package io.thaw.fdk.runtime.function;

import com.fnproject.fn.api.InvocationContext;
import com.fnproject.fn.api.RuntimeContext;
import com.fnproject.fn.api.tracing.TracingContext;
import java.util.Locale;

/** The trace in the request's B3 headers. */
final class B3TracingContext implements TracingContext {

    private final InvocationContext call;

    B3TracingContext(InvocationContext call) {
        this.call = call;
    }

    @Override
    public InvocationContext getInvocationContext() {
        return call;
    }

    @Override
    public RuntimeContext getRuntimeContext() {
        return call.getRuntimeContext();
    }

    @Override
    public Boolean isTracingEnabled() {
        String enabled = config("OCI_TRACING_ENABLED");
        return enabled.equals("1") || Boolean.parseBoolean(enabled);
    }

    @Override
    public String getAppName() {
        return getRuntimeContext().getAppName();
    }

    @Override
    public String getFunctionName() {
        return getRuntimeContext().getFunctionName();
    }

    @Override
    public String getServiceName() {
        return getAppName().toLowerCase(Locale.ROOT) + "::" + getFunctionName().toLowerCase(Locale.ROOT);
    }

    @Override
    public String getTraceCollectorURL() {
        return config("OCI_TRACE_COLLECTOR_URL");
    }

    @Override
    public String getTraceId() {
        return header("X-B3-Traceid");
    }

    @Override
    public String getSpanId() {
        return header("X-B3-Spanid");
    }

    @Override
    public String getParentSpanId() {
        return header("X-B3-Parentspanid");
    }

    @Override
    public Boolean isSampled() {
        String sampled = header("X-B3-Sampled");
        return sampled.equals("1") || Boolean.parseBoolean(sampled);
    }

    @Override
    public String getFlags() {
        return header("X-B3-Flags");
    }

    private String header(String name) {
        return call.getRequestHeaders().get(name).orElse("");
    }

    private String config(String name) {
        return getRuntimeContext().getConfigurationByKey(name).orElse("");
    }
}
