package io.thaw.fdk.runtime.function;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fnproject.fn.api.FnConfiguration;
import com.fnproject.fn.api.FnFeature;
import com.fnproject.fn.api.FunctionInvoker;
import com.fnproject.fn.api.Headers;
import com.fnproject.fn.api.InputBinding;
import com.fnproject.fn.api.InputCoercion;
import com.fnproject.fn.api.InputEvent;
import com.fnproject.fn.api.InvocationContext;
import com.fnproject.fn.api.InvocationListener;
import com.fnproject.fn.api.MethodWrapper;
import com.fnproject.fn.api.OutputBinding;
import com.fnproject.fn.api.OutputCoercion;
import com.fnproject.fn.api.OutputEvent;
import com.fnproject.fn.api.RuntimeContext;
import com.fnproject.fn.api.RuntimeFeature;
import com.fnproject.fn.api.exception.FunctionConfigurationException;
import com.fnproject.fn.api.exception.FunctionInputHandlingException;
import com.fnproject.fn.api.exception.FunctionLoadException;
import com.fnproject.fn.api.exception.FunctionOutputHandlingException;
import com.fnproject.fn.api.httpgateway.HTTPGatewayContext;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class FunctionTest {

    private static final List<String> STEPS = new ArrayList<>();

    private final RuntimeConfig config = new RuntimeConfig(Map.of("FN_APP_ID", "a1", "FN_FN_ID", "f1", "GREETING", "hi"));

    @BeforeEach
    void forgetSteps() {
        STEPS.clear();
    }

    private LoadedFunction load(Class<?> type, String method) {
        return new FunctionLoader(FunctionTest.class.getClassLoader())
                .load(new FunctionName(type.getName(), method), config);
    }

    private OutputEvent call(LoadedFunction function, String body, Map<String, String> headers) {
        return function.call("c1", Instant.EPOCH, Headers.fromMap(headers),
                new ByteArrayInputStream(body.getBytes(StandardCharsets.UTF_8)));
    }

    private OutputEvent call(Class<?> type, String method, String body) {
        return call(load(type, method), body, Map.of());
    }

    private static String text(OutputEvent event) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        event.writeToOutput(out);
        return out.toString(StandardCharsets.UTF_8);
    }

    // ------------------------------------------------------------ coercions

    public record Pet(String name, int age) {
    }

    public static class Kinds {
        public String string(String in) {
            return in + "ü";
        }

        public byte[] bytes(byte[] in) {
            return in;
        }

        public void nothing() {
        }

        public OutputEvent event(InputEvent in) {
            String body = in.consumeBody(stream -> {
                try {
                    return new String(stream.readAllBytes(), StandardCharsets.UTF_8);
                } catch (IOException e) {
                    throw new IllegalStateException(e);
                }
            });
            return OutputEvent.fromBytes(
                    (in.getCallID() + in.getDeadline() + body).getBytes(StandardCharsets.UTF_8),
                    OutputEvent.Status.FunctionTimeout, "a/b");
        }

        public Pet json(Pet in) {
            return new Pet(in.name() + "!", in.age() + 1);
        }

        public List<Pet> jsonList(List<Pet> in) {
            return List.of(in.get(in.size() - 1));
        }

        public String contexts(RuntimeContext runtime, String body, InvocationContext call) {
            return runtime.getAppID() + runtime.getFunctionID() + runtime.getAppName() + body
                    + call.getRequestHeaders().get("X").orElse("-");
        }

        public String twice(InputEvent in) {
            in.consumeBody(stream -> "");
            return in.consumeBody(stream -> "");
        }

        public String throwing() throws IOException {
            throw new IOException("on purpose");
        }

        public OutputEvent none() {
            return null;
        }

        public String nullString() {
            return null;
        }
    }

    public abstract static class Generic<T> {
        public T handle(T in) {
            return in;
        }
    }

    public static class OfPet extends Generic<Pet> {
    }

    @Test
    void stringsAreUtf8TextPlain() throws Exception {
        OutputEvent out = call(Kinds.class, "string", "grün ");
        assertEquals("grün ü", text(out));
        assertEquals(Optional.of("text/plain"), out.getContentType());
        assertEquals(OutputEvent.Status.Success, out.getStatus());
    }

    @Test
    void bytesPassUnchanged() throws Exception {
        OutputEvent out = call(Kinds.class, "bytes", "raw");
        assertEquals("raw", text(out));
        assertEquals(Optional.of("application/octet-stream"), out.getContentType());
    }

    @Test
    void voidIsAnEmptySuccess() throws Exception {
        OutputEvent out = call(Kinds.class, "nothing", "ignored");
        assertEquals("", text(out));
        assertTrue(out.isSuccess());
    }

    @Test
    void eventsPassAsTheyAre() throws Exception {
        OutputEvent out = call(Kinds.class, "event", "body");
        assertEquals("c11970-01-01T00:00:00Zbody", text(out));
        assertEquals(OutputEvent.Status.FunctionTimeout, out.getStatus());
    }

    @Test
    void otherTypesAreJson() throws Exception {
        OutputEvent out = call(Kinds.class, "json", "{\"name\":\"Rex\",\"age\":3}");
        assertEquals("{\"name\":\"Rex!\",\"age\":4}", text(out));
        assertEquals(Optional.of("application/json"), out.getContentType());
        assertEquals("[{\"name\":\"B\",\"age\":2}]",
                text(call(Kinds.class, "jsonList", "[{\"name\":\"A\",\"age\":1},{\"name\":\"B\",\"age\":2}]")));
    }

    @Test
    void typeVariablesOfAGenericSuperclassAreResolved() throws Exception {
        assertEquals("{\"name\":\"Rex\",\"age\":3}", text(call(OfPet.class, "handle", "{\"name\":\"Rex\",\"age\":3}")));
    }

    @Test
    void contextsAndTheBodyMakeParametersInAnyOrder() throws Exception {
        assertEquals("a1f1body9", text(call(load(Kinds.class, "contexts"), "body", Map.of("x", "9"))));
    }

    @Test
    void wrongInputsAndOutputsAreTold() throws Exception {
        assertThrows(FunctionInputHandlingException.class, () -> call(Kinds.class, "json", "no json"));
        assertThrows(FunctionInputHandlingException.class, () -> call(Kinds.class, "json", ""));
        assertThrows(FunctionOutputHandlingException.class, () -> call(Kinds.class, "none", ""));
        assertEquals("", text(call(Kinds.class, "nullString", "")));
        Throwable cause = assertThrows(FunctionFailedException.class, () -> call(Kinds.class, "twice", "")).getCause();
        assertEquals(IllegalStateException.class, cause.getClass());
        cause = assertThrows(FunctionFailedException.class, () -> call(Kinds.class, "throwing", "")).getCause();
        assertEquals("on purpose", cause.getMessage());
    }

    // ------------------------------------------------------------ the gateway's context

    public static class Gateway {
        public String handle(HTTPGatewayContext http) {
            http.setStatusCode(201);
            http.setResponseHeader("X-Out", "1", "2");
            http.addResponseHeader("Content-Type", "text/html");
            return http.getMethod() + " " + http.getRequestURL() + " " + http.getQueryParameters().getAll() + " "
                    + http.getHeaders().get("Accept").orElse("") + " " + http.getHeaders().keys().size();
        }

        public void badStatus(HTTPGatewayContext http) {
            http.setStatusCode(600);
        }
    }

    @Test
    void theGatewaysRequestIsUnwrappedAndItsAnswerWrapped() throws Exception {
        OutputEvent out = call(load(Gateway.class, "handle"), "", Map.of(
                "Fn-Http-Method", "GET",
                "Fn-Http-Request-Url", "http://h/t/a?x=1&x=%C3%BC+2&y#f",
                "Fn-Http-H-Accept", "text/*"));
        assertEquals("GET http://h/t/a?x=1&x=%C3%BC+2&y#f {x=[1, ü 2], y=[]} text/* 1", text(out));
        assertEquals(List.of("201"), out.getHeaders().getAllValues("Fn-Http-Status"));
        assertEquals(List.of("1", "2"), out.getHeaders().getAllValues("Fn-Http-H-X-Out"));
        assertEquals(Optional.of("text/html"), out.getContentType());
    }

    @Test
    void statusesThatDoNotExistAreRefused() {
        Throwable cause =
                assertThrows(FunctionFailedException.class, () -> call(Gateway.class, "badStatus", "")).getCause();
        assertEquals(IllegalArgumentException.class, cause.getClass());
    }

    // ------------------------------------------------------------ loading

    public static class Base {
        @FnConfiguration
        public static void baseStatic(RuntimeContext c) {
            STEPS.add("base static " + c.getConfigurationByKey("GREETING").orElse(""));
        }

        @FnConfiguration
        public void baseInstance() {
            STEPS.add("base instance");
        }
    }

    public static class Feature implements RuntimeFeature {
        @Override
        public void initialize(RuntimeContext context) {
            STEPS.add("feature");
        }
    }

    @FnFeature(Feature.class)
    public static class Configured extends Base {
        public Configured(RuntimeContext context) {
            STEPS.add("constructor " + context.getInvokeInstance().isPresent());
        }

        @FnConfiguration
        public void derivedInstance(RuntimeContext c) {
            STEPS.add("derived instance " + c.getInvokeInstance().isPresent());
        }

        @FnConfiguration
        public static void derivedStatic() {
            STEPS.add("derived static");
        }

        public String handle(String in) {
            return in;
        }
    }

    @Test
    void configurationRunsFeaturesStaticsConstructorInstancesBaseFirst() {
        load(Configured.class, "handle");
        assertEquals(List.of("feature", "base static hi", "derived static", "constructor false", "base instance",
                "derived instance true"), STEPS);
    }

    public static class StaticFunction {
        @FnConfiguration
        public void instanceConfiguration() {
        }

        public static String handle(String in) {
            return in;
        }
    }

    public static class TwoConstructors {
        public TwoConstructors() {
        }

        public TwoConstructors(RuntimeContext context) {
        }

        public void handle() {
        }
    }

    public static class Overloaded {
        public void handle() {
        }

        public void handle(String s) {
        }

        void hidden() {
        }
    }

    public static class BadConfiguration {
        @FnConfiguration
        public String returns() {
            return "";
        }

        public void handle() {
        }
    }

    public static class ThrowingConfiguration {
        @FnConfiguration
        public void configure() {
            throw new IllegalStateException("no database");
        }

        public void handle() {
        }
    }

    @Test
    void functionsThatCannotBeAreRefusedWithTheReason() {
        assertThrows(FunctionConfigurationException.class, () -> load(StaticFunction.class, "handle"));
        assertThrows(FunctionClassInstantiationException.class, () -> load(TwoConstructors.class, "handle"));
        assertThrows(InvalidFunctionDefinitionException.class, () -> load(Overloaded.class, "handle"));
        assertThrows(InvalidFunctionDefinitionException.class, () -> load(Overloaded.class, "hidden"));
        assertThrows(FunctionConfigurationException.class, () -> load(BadConfiguration.class, "handle"));
        FunctionLoadException e =
                assertThrows(FunctionLoadException.class, () -> load(ThrowingConfiguration.class, "handle"));
        assertEquals("no database", e.getCause().getMessage());
        FunctionLoadException missing = assertThrows(FunctionLoadException.class,
                () -> new FunctionLoader(FunctionTest.class.getClassLoader())
                        .load(FunctionName.parse("no.such.Class::m"), config));
        assertTrue(missing.getMessage().contains("no.such.Class"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "Class", "::m", "Class::", "a::b::c"})
    void malformedCommandsAreRefused(String command) {
        assertThrows(IllegalArgumentException.class, () -> FunctionName.parse(command));
    }

    // ------------------------------------------------------------ user's own parts

    public static class Reverse implements InputCoercion<String>, OutputCoercion {
        @Override
        public Optional<String> tryCoerceParam(InvocationContext c, int arg, InputEvent input, MethodWrapper method) {
            return Optional.of("bound");
        }

        @Override
        public Optional<OutputEvent> wrapFunctionResult(InvocationContext c, MethodWrapper method, Object value) {
            return Optional.of(OutputEvent.fromBytes(
                    new StringBuilder((String) value).reverse().toString().getBytes(StandardCharsets.UTF_8),
                    OutputEvent.Status.Success, "x/reversed"));
        }
    }

    public static class Bound {
        @OutputBinding(coercion = Reverse.class)
        public String handle(@InputBinding(coercion = Reverse.class) String in) {
            return in;
        }
    }

    public static class OwnParts {
        @FnConfiguration
        public void configure(RuntimeContext c) {
            c.addInputCoercion((InputCoercion<String>) (ctx, arg, in, method) ->
                    method.getParamType(arg).getParameterClass() == String.class ? Optional.of("own") : Optional.empty());
            c.addInvoker((ctx, in) -> in.getHeaders().get("Pre").map(value -> OutputEvent.emptyResult(
                    OutputEvent.Status.FunctionError)), FunctionInvoker.Phase.PreCall);
        }

        public String handle(String in, InvocationContext call) {
            call.addListener(new InvocationListener() {
                @Override
                public void onSuccess() {
                    STEPS.add("success");
                }

                @Override
                public void onFailure() {
                    STEPS.add("failure");
                }
            });
            call.setResponseHeader("A", "1");
            call.addResponseHeader("a", "2");
            return in;
        }
    }

    @Test
    void bindingsReplaceAllOtherCoercions() throws Exception {
        OutputEvent out = call(Bound.class, "handle", "ignored");
        assertEquals("dnuob", text(out));
        assertEquals(Optional.of("x/reversed"), out.getContentType());
    }

    @Test
    void ownCoercionsInvokersHeadersAndListenersTakePart() throws Exception {
        LoadedFunction function = load(OwnParts.class, "handle");
        OutputEvent out = call(function, "ignored", Map.of());
        assertEquals("own", text(out));
        assertEquals(List.of("1", "2"), out.getHeaders().getAllValues("A"));
        assertEquals(List.of("success"), STEPS);
        assertEquals(OutputEvent.Status.FunctionError, call(function, "", Map.of("pre", "1")).getStatus());
    }

    @Test
    void configurationIsThatOfNow(@TempDir Path dir) throws IOException {
        Path file = dir.resolve("config.json");
        Files.writeString(file, "{\"URL\":\"one\",\"GONE\":null}");
        RuntimeConfig changing = new RuntimeConfig(Map.of("URL", "start", "GONE", "start", "FN_APP_ID", "a1"), file);
        assertEquals(Map.of("URL", "one", "FN_APP_ID", "a1"), changing.configuration());
        Map<String, String> before = changing.configuration();
        Files.delete(file);
        Files.writeString(file, "{\"URL\":\"second\",\"HEADER_X\":\"1\"}");
        assertEquals(Map.of("URL", "second", "GONE", "start", "FN_APP_ID", "a1"), changing.configuration());
        assertEquals("one", before.get("URL"));
    }

    @Test
    void configurationHidesWhatBelongsToOneRequest() {
        RuntimeConfig filtered = new RuntimeConfig(Map.of("FN_PATH", "1", "FN_METHOD", "1", "FN_REQUEST_URL", "1",
                "FN_FORMAT", "1", "CONTENT-LENGTH", "1", "FN_CALL_ID", "1", "HEADER_X", "1", "PATH", "p",
                "FN_LISTENER", "l", "KEY", "v"));
        assertEquals(Map.of("PATH", "p", "FN_LISTENER", "l", "KEY", "v"), filtered.configuration());
    }
}
