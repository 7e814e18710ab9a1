package io.thaw.fdk.runtime.function;

import com.fnproject.fn.api.FunctionInvoker;
import com.fnproject.fn.api.Headers;
import com.fnproject.fn.api.InputCoercion;
import com.fnproject.fn.api.InputEvent;
import com.fnproject.fn.api.MethodWrapper;
import com.fnproject.fn.api.OutputCoercion;
import com.fnproject.fn.api.OutputEvent;
import com.fnproject.fn.api.exception.FunctionInputHandlingException;
import com.fnproject.fn.api.exception.FunctionOutputHandlingException;
import java.io.InputStream;
import java.lang.reflect.InvocationTargetException;
import java.time.Instant;
import java.util.Objects;
import java.util.Optional;

/** A function that is ready to be called, by one thread at a time. */
public final class LoadedFunction {

    private final FunctionRuntimeContext runtime;

    LoadedFunction(FunctionRuntimeContext runtime) {
        this.runtime = runtime;
    }

    /**
     * Answers one call.
     *
     * @param callId the platform's id of the call
     * @param deadline when its caller stops waiting
     * @param headers the request's headers
     * @param body the request's body
     * @return the answer, its headers complete but for the runtime's own
     * @throws FunctionInputHandlingException when an argument can't be made
     * @throws FunctionFailedException when the function threw
     * @throws FunctionOutputHandlingException when its result can't be sent
     */
    public OutputEvent call(String callId, Instant deadline, Headers headers, InputStream body) {
        CallContext context = new CallContext(runtime, headers);
        boolean success = false;
        try {
            OutputEvent answer = invoke(context, new CallInput(callId, deadline, headers, body));
            success = true;
            return context.responseHeaders().isEmpty()
                    ? answer
                    : answer.withHeaders(answer.getHeaders().setHeaders(context.responseHeaders()));
        } finally {
            context.tellListeners(success);
        }
    }

    private OutputEvent invoke(CallContext context, InputEvent input) {
        for (FunctionInvoker.Phase phase : FunctionInvoker.Phase.values()) {
            for (FunctionInvoker invoker : runtime.invokers(phase)) {
                Optional<OutputEvent> answer = invoker.tryInvoke(context, input);
                if (answer.isPresent()) {
                    return answer.get();
                }
            }
        }
        return invokeMethod(context, input);
    }

    private OutputEvent invokeMethod(CallContext context, InputEvent input) {
        MethodWrapper method = runtime.getMethod();
        Object[] arguments = new Object[method.getParameterCount()];
        for (int i = 0; i < arguments.length; i++) {
            arguments[i] = argument(context, i, input, method);
        }
        Object result;
        try {
            result = method.getTargetMethod().invoke(runtime.getInvokeInstance().orElse(null), arguments);
        } catch (InvocationTargetException e) {
            throw new FunctionFailedException(e.getCause());
        } catch (IllegalAccessException e) {
            throw new IllegalStateException("can't call " + method.getLongName(), e);
        } catch (IllegalArgumentException e) {
            throw new FunctionInputHandlingException(
                    "a coercion made an argument of the wrong type for " + method.getLongName(), e);
        }
        for (OutputCoercion coercion : runtime.getOutputCoercions(method.getTargetMethod())) {
            Optional<OutputEvent> answer = coercion.wrapFunctionResult(context, method, result);
            if (answer.isPresent()) {
                return answer.get();
            }
        }
        throw new FunctionOutputHandlingException("no coercion takes the result of " + method.getLongName());
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private Object argument(CallContext context, int index, InputEvent input, MethodWrapper method) {
        for (InputCoercion coercion : runtime.getInputCoercions(method, index)) {
            Optional<Object> argument = coercion.tryCoerceParam(context, index, input, method);
            if (Objects.requireNonNull(argument, "a coercion returned null instead of Optional.empty()").isPresent()) {
                return argument.get();
            }
        }
        throw new FunctionInputHandlingException(
                "no coercion makes parameter " + index + " of " + method.getLongName());
    }
}
