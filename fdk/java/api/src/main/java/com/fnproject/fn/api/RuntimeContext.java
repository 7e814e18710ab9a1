package com.fnproject.fn.api;

import java.lang.reflect.Method;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The runtime of one function: what holds for all calls that this process answers. */
public interface RuntimeContext {

    /** @return the app's id, the empty string when the platform gives none */
    String getAppID();

    /** @return the function's id, the empty string when the platform gives none */
    String getFunctionID();

    /** @return the app's name, the empty string when the platform gives none */
    default String getAppName() {
        return "";
    }

    /** @return the function's name, the empty string when the platform gives none */
    default String getFunctionName() {
        return "";
    }

    /** @return the function object; empty for a static method, and before it is made */
    Optional<Object> getInvokeInstance();

    /** @return the function's method */
    MethodWrapper getMethod();

    /**
     * @param key a configuration key of the app or function
     * @return its value
     */
    Optional<String> getConfigurationByKey(String key);

    /** @return the configuration; can't be changed */
    Map<String, String> getConfiguration();

    /**
     * @param att an attribute's name
     * @param type its class
     * @param <T> its class
     * @return what {@link #setAttribute} stored last
     * @throws ClassCastException when it is of another class
     */
    <T> Optional<T> getAttribute(String att, Class<T> type);

    /**
     * Stores an object that all calls see.
     *
     * @param att its name
     * @param val the object; null removes it
     */
    void setAttribute(String att, Object val);

    /** @param ic a coercion to try before the built-in ones, after those added earlier */
    void addInputCoercion(@SuppressWarnings("rawtypes") InputCoercion ic);

    /**
     * @param targetMethod the function's method
     * @param param a parameter's index, from 0
     * @return the coercions for it in the order in which they are tried
     */
    @SuppressWarnings("rawtypes")
    List<InputCoercion> getInputCoercions(MethodWrapper targetMethod, int param);

    /** @param oc a coercion to try before the built-in ones, after those added earlier */
    void addOutputCoercion(OutputCoercion oc);

    /**
     * @param method the function's method
     * @return the coercions for its result in the order in which they are tried
     */
    List<OutputCoercion> getOutputCoercions(Method method);

    /**
     * The same as {@code addInvoker(invoker, Phase.Call)}.
     *
     * @param invoker answers calls before the function's method is asked
     */
    default void setInvoker(FunctionInvoker invoker) {
        addInvoker(invoker, FunctionInvoker.Phase.Call);
    }

    /**
     * @param invoker is asked after those added earlier in the same phase
     * @param phase when
     */
    void addInvoker(FunctionInvoker invoker, FunctionInvoker.Phase phase);
}
