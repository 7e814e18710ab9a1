package io.thaw.fdk.runtime.function;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JavaType;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.type.TypeFactory;
import com.fnproject.fn.api.InputEvent;
import com.fnproject.fn.api.InvocationContext;
import com.fnproject.fn.api.MethodWrapper;
import com.fnproject.fn.api.OutputEvent;
import com.fnproject.fn.api.RuntimeContext;
import com.fnproject.fn.api.exception.FunctionInputHandlingException;
import com.fnproject.fn.api.exception.FunctionOutputHandlingException;
import java.io.IOException;
import java.lang.reflect.Type;
import java.util.Optional;

/** Any other type, as JSON. */
final class Json {

    /** The attribute under which functions written for Fn may put a mapper of their own. */
    static final String MAPPER_ATTRIBUTE = "com.fnproject.fn.runtime.coercion.jackson.JacksonCoercion.om";

    private Json() {
    }

    static Optional<Object> read(InvocationContext ctx, int arg, InputEvent input, MethodWrapper method) {
        ObjectMapper mapper = mapper(ctx.getRuntimeContext());
        JavaType type = resolve(mapper.getTypeFactory(), method, method.getTargetMethod().getGenericParameterTypes()[arg]);
        return input.consumeBody(stream -> {
            try {
                // null in JSON is no argument that a coercion could give.
                Object value = mapper.readValue(stream, type);
                if (value == null) {
                    throw new FunctionInputHandlingException("request body is null: send a JSON value for parameter "
                            + arg + " of " + method.getLongName());
                }
                return Optional.of(value);
            } catch (JsonProcessingException e) {
                throw new FunctionInputHandlingException("request body is no JSON for parameter " + arg + " of "
                        + method.getLongName() + " (" + type.toCanonical() + "): " + e.getOriginalMessage(), e);
            } catch (IOException e) {
                throw new FunctionInputHandlingException("can't read the request's body", e);
            }
        });
    }

    static Optional<OutputEvent> write(InvocationContext ctx, MethodWrapper method, Object value) {
        try {
            byte[] bytes = mapper(ctx.getRuntimeContext()).writeValueAsBytes(value);
            return Optional.of(OutputEvent.fromBytes(bytes, OutputEvent.Status.Success, "application/json"));
        } catch (JsonProcessingException e) {
            throw new FunctionOutputHandlingException(
                    "can't write the result of " + method.getLongName() + " as JSON: " + e.getOriginalMessage(), e);
        }
    }

    private static ObjectMapper mapper(RuntimeContext runtime) {
        Optional<ObjectMapper> known = runtime.getAttribute(MAPPER_ATTRIBUTE, ObjectMapper.class);
        if (known.isPresent()) {
            return known.get();
        }
        ObjectMapper made = new ObjectMapper();
        runtime.setAttribute(MAPPER_ATTRIBUTE, made);
        return made;
    }

    // The method may be inherited from a generic class: its T is what the function's class binds it to.
    private static JavaType resolve(TypeFactory types, MethodWrapper method, Type type) {
        JavaType declaring = types.constructType(method.getTargetClass())
                .findSuperType(method.getTargetMethod().getDeclaringClass());
        return declaring == null ? types.constructType(type) : types.resolveMemberType(type, declaring.getBindings());
    }
}
