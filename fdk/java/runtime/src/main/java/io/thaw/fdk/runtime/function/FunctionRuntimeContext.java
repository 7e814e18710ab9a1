package io.thaw.fdk.runtime.function;

import com.fnproject.fn.api.FunctionInvoker;
import com.fnproject.fn.api.InputBinding;
import com.fnproject.fn.api.InputCoercion;
import com.fnproject.fn.api.MethodWrapper;
import com.fnproject.fn.api.OutputBinding;
import com.fnproject.fn.api.OutputCoercion;
import com.fnproject.fn.api.RuntimeContext;
import com.fnproject.fn.api.exception.FunctionInputHandlingException;
import com.fnproject.fn.api.exception.FunctionOutputHandlingException;
import java.lang.annotation.Annotation;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;

/** The runtime as the function sees it: configuration, attributes, coercions, invokers. */
@SuppressWarnings("rawtypes")
final class FunctionRuntimeContext implements RuntimeContext {

    private final RuntimeConfig config;
    private final MethodWrapper method;
    private final Map<String, Object> attributes = new ConcurrentHashMap<>();
    private final List<InputCoercion> userInputs = new CopyOnWriteArrayList<>();
    private final List<OutputCoercion> userOutputs = new CopyOnWriteArrayList<>();
    private final List<FunctionInvoker> preCallInvokers = new CopyOnWriteArrayList<>();
    private final List<FunctionInvoker> callInvokers = new CopyOnWriteArrayList<>();
    private volatile Object instance;

    FunctionRuntimeContext(RuntimeConfig config, MethodWrapper method) {
        this.config = config;
        this.method = method;
    }

    void setInstance(Object instance) {
        this.instance = instance;
    }

    List<FunctionInvoker> invokers(FunctionInvoker.Phase phase) {
        return phase == FunctionInvoker.Phase.PreCall ? preCallInvokers : callInvokers;
    }

    @Override
    public String getAppID() {
        return config.get("FN_APP_ID");
    }

    @Override
    public String getFunctionID() {
        return config.get("FN_FN_ID");
    }

    @Override
    public String getAppName() {
        return config.get("FN_APP_NAME");
    }

    @Override
    public String getFunctionName() {
        return config.get("FN_FN_NAME");
    }

    @Override
    public Optional<Object> getInvokeInstance() {
        return Optional.ofNullable(instance);
    }

    @Override
    public MethodWrapper getMethod() {
        return method;
    }

    @Override
    public Optional<String> getConfigurationByKey(String key) {
        return Optional.ofNullable(config.configuration().get(key));
    }

    @Override
    public Map<String, String> getConfiguration() {
        return config.configuration();
    }

    @Override
    public <T> Optional<T> getAttribute(String att, Class<T> type) {
        return Optional.ofNullable(type.cast(attributes.get(Objects.requireNonNull(att))));
    }

    @Override
    public void setAttribute(String att, Object val) {
        Objects.requireNonNull(att, "attribute name");
        if (val == null) {
            attributes.remove(att);
        } else {
            attributes.put(att, val);
        }
    }

    @Override
    public void addInputCoercion(InputCoercion ic) {
        userInputs.add(Objects.requireNonNull(ic));
    }

    @Override
    public List<InputCoercion> getInputCoercions(MethodWrapper targetMethod, int param) {
        for (Annotation annotation : targetMethod.getTargetMethod().getParameterAnnotations()[param]) {
            if (annotation instanceof InputBinding binding) {
                try {
                    return List.of(binding.coercion().getDeclaredConstructor().newInstance());
                } catch (ReflectiveOperationException e) {
                    throw new FunctionInputHandlingException("can't make the input coercion "
                            + binding.coercion().getName() + ": it needs a public constructor without arguments", e);
                }
            }
        }
        if (userInputs.isEmpty()) {
            return BuiltInCoercions.INPUTS;
        }
        List<InputCoercion> all = new ArrayList<>(userInputs);
        all.addAll(BuiltInCoercions.INPUTS);
        return all;
    }

    @Override
    public void addOutputCoercion(OutputCoercion oc) {
        userOutputs.add(Objects.requireNonNull(oc));
    }

    @Override
    public List<OutputCoercion> getOutputCoercions(Method targetMethod) {
        OutputBinding binding = targetMethod.getAnnotation(OutputBinding.class);
        if (binding != null) {
            try {
                return List.of(binding.coercion().getDeclaredConstructor().newInstance());
            } catch (ReflectiveOperationException e) {
                throw new FunctionOutputHandlingException("can't make the output coercion "
                        + binding.coercion().getName() + ": it needs a public constructor without arguments", e);
            }
        }
        if (userOutputs.isEmpty()) {
            return BuiltInCoercions.OUTPUTS;
        }
        List<OutputCoercion> all = new ArrayList<>(userOutputs);
        all.addAll(BuiltInCoercions.OUTPUTS);
        return all;
    }

    @Override
    public void addInvoker(FunctionInvoker invoker, FunctionInvoker.Phase phase) {
        invokers(Objects.requireNonNull(phase)).add(Objects.requireNonNull(invoker));
    }
}
