package io.thaw.fdk.runtime.function;

import com.fnproject.fn.api.InputCoercion;
import com.fnproject.fn.api.InputEvent;
import com.fnproject.fn.api.InvocationContext;
import com.fnproject.fn.api.MethodWrapper;
import com.fnproject.fn.api.OutputCoercion;
import com.fnproject.fn.api.OutputEvent;
import com.fnproject.fn.api.RuntimeContext;
import com.fnproject.fn.api.exception.FunctionInputHandlingException;
import com.fnproject.fn.api.exception.FunctionOutputHandlingException;
import com.fnproject.fn.api.httpgateway.HTTPGatewayContext;
import com.fnproject.fn.api.tracing.TracingContext;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Optional;

/** The coercions that every function has, in the order in which they are tried after its own. */
@SuppressWarnings("rawtypes")
final class BuiltInCoercions {

    static final List<InputCoercion> INPUTS = List.of(
            (InputCoercion<Object>) BuiltInCoercions::context,
            (InputCoercion<String>) BuiltInCoercions::string,
            (InputCoercion<byte[]>) BuiltInCoercions::bytes,
            (InputCoercion<InputEvent>) BuiltInCoercions::event,
            (InputCoercion<Object>) BuiltInCoercions::json);

    static final List<OutputCoercion> OUTPUTS = List.of(
            BuiltInCoercions::fromString,
            BuiltInCoercions::fromBytes,
            BuiltInCoercions::fromVoid,
            BuiltInCoercions::fromEvent,
            BuiltInCoercions::fromJson);

    private static final byte[] EMPTY = new byte[0];

    private BuiltInCoercions() {
    }

    private static Optional<Object> context(InvocationContext ctx, int arg, InputEvent input, MethodWrapper method) {
        Class<?> type = method.getParamType(arg).getParameterClass();
        if (type == RuntimeContext.class) {
            return Optional.of(ctx.getRuntimeContext());
        }
        if (type == InvocationContext.class) {
            return Optional.of(ctx);
        }
        if (type == HTTPGatewayContext.class) {
            return Optional.of(new GatewayContext(ctx));
        }
        if (type == TracingContext.class) {
            return Optional.of(new B3TracingContext(ctx));
        }
        return Optional.empty();
    }

    private static Optional<String> string(InvocationContext ctx, int arg, InputEvent input, MethodWrapper method) {
        return method.getParamType(arg).getParameterClass() == String.class
                ? Optional.of(new String(readAll(input), StandardCharsets.UTF_8))
                : Optional.empty();
    }

    private static Optional<byte[]> bytes(InvocationContext ctx, int arg, InputEvent input, MethodWrapper method) {
        return method.getParamType(arg).getParameterClass() == byte[].class
                ? Optional.of(readAll(input))
                : Optional.empty();
    }

    private static Optional<InputEvent> event(InvocationContext ctx, int arg, InputEvent input, MethodWrapper method) {
        return method.getParamType(arg).getParameterClass() == InputEvent.class
                ? Optional.of(input)
                : Optional.empty();
    }

    // Jackson's classes are loaded only by a function that needs them: they are most of the runtime.
    private static Optional<Object> json(InvocationContext ctx, int arg, InputEvent input, MethodWrapper method) {
        return Json.read(ctx, arg, input, method);
    }

    private static Optional<OutputEvent> fromString(InvocationContext ctx, MethodWrapper method, Object value) {
        if (method.getReturnType().getParameterClass() != String.class) {
            return Optional.empty();
        }
        byte[] bytes = value == null ? EMPTY : ((String) value).getBytes(StandardCharsets.UTF_8);
        return Optional.of(OutputEvent.fromBytes(bytes, OutputEvent.Status.Success, "text/plain"));
    }

    private static Optional<OutputEvent> fromBytes(InvocationContext ctx, MethodWrapper method, Object value) {
        if (method.getReturnType().getParameterClass() != byte[].class) {
            return Optional.empty();
        }
        byte[] bytes = value == null ? EMPTY : (byte[]) value;
        return Optional.of(OutputEvent.fromBytes(bytes, OutputEvent.Status.Success, "application/octet-stream"));
    }

    private static Optional<OutputEvent> fromVoid(InvocationContext ctx, MethodWrapper method, Object value) {
        Class<?> type = method.getReturnType().getParameterClass();
        return type == void.class || type == Void.class
                ? Optional.of(OutputEvent.emptyResult(OutputEvent.Status.Success))
                : Optional.empty();
    }

    private static Optional<OutputEvent> fromEvent(InvocationContext ctx, MethodWrapper method, Object value) {
        if (!OutputEvent.class.isAssignableFrom(method.getReturnType().getParameterClass())) {
            return Optional.empty();
        }
        if (value == null) {
            throw new FunctionOutputHandlingException(
                    method.getLongName() + " returned null: return an OutputEvent, OutputEvent.emptyResult for none");
        }
        return Optional.of((OutputEvent) value);
    }

    private static Optional<OutputEvent> fromJson(InvocationContext ctx, MethodWrapper method, Object value) {
        return Json.write(ctx, method, value);
    }

    private static byte[] readAll(InputEvent input) {
        return input.consumeBody(BuiltInCoercions::readAll);
    }

    private static byte[] readAll(InputStream stream) {
        try {
            return stream.readAllBytes();
        } catch (IOException e) {
            throw new FunctionInputHandlingException("can't read the request's body", e);
        }
    }
}
