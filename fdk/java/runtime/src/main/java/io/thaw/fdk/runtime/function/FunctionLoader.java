package io.thaw.fdk.runtime.function;

import com.fnproject.fn.api.FnConfiguration;
import com.fnproject.fn.api.FnFeature;
import com.fnproject.fn.api.FnFeatures;
import com.fnproject.fn.api.RuntimeContext;
import com.fnproject.fn.api.RuntimeFeature;
import com.fnproject.fn.api.exception.FunctionConfigurationException;
import java.lang.reflect.Constructor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Turns a class and a method's name into a function that is ready to be called: its features
 * initialised, its configuration methods run, its object made.
 */
public final class FunctionLoader {

    private final ClassLoader loader;

    /** @param loader finds the function's class */
    public FunctionLoader(ClassLoader loader) {
        this.loader = loader;
    }

    /**
     * Loads the function. May run any of the user's code.
     *
     * @param name the function's command
     * @param config what it is configured with
     * @return the function
     * @throws com.fnproject.fn.api.exception.FunctionLoadException when it can't be loaded; the message
     *     says what to change
     * @throws LinkageError when its class can't be linked or initialised
     */
    public LoadedFunction load(FunctionName name, RuntimeConfig config) {
        Class<?> type = findClass(name);
        Method method = findMethod(type, name);
        boolean isStatic = Modifier.isStatic(method.getModifiers());
        FunctionRuntimeContext runtime = new FunctionRuntimeContext(config, new FunctionMethod(type, method));

        initialiseFeatures(type, runtime);
        List<Method> configurators = configurators(type);
        for (Method configurator : configurators) {
            if (Modifier.isStatic(configurator.getModifiers())) {
                configure(configurator, null, runtime);
            } else if (isStatic) {
                throw new FunctionConfigurationException("configuration method " + longName(type, configurator)
                        + " is not static while the function " + name + " is: make both the same");
            }
        }
        if (!isStatic) {
            Object instance = instantiate(type, runtime);
            runtime.setInstance(instance);
            for (Method configurator : configurators) {
                if (!Modifier.isStatic(configurator.getModifiers())) {
                    configure(configurator, instance, runtime);
                }
            }
        }
        return new LoadedFunction(runtime);
    }

    private Class<?> findClass(FunctionName name) {
        try {
            return Class.forName(name.className(), false, loader);
        } catch (ClassNotFoundException e) {
            throw new InvalidFunctionDefinitionException("function class " + name.className()
                    + " was not found on the class path: check the command and the image's /function/app", e);
        }
    }

    private static Method findMethod(Class<?> type, FunctionName name) {
        List<Method> found = new ArrayList<>();
        for (Method method : type.getMethods()) {
            if (method.getName().equals(name.methodName()) && !method.isBridge() && !method.isSynthetic()) {
                found.add(method);
            }
        }
        if (found.isEmpty()) {
            throw new InvalidFunctionDefinitionException(
                    "class " + name.className() + " has no public method " + name.methodName());
        }
        if (found.size() > 1) {
            throw new InvalidFunctionDefinitionException("class " + name.className() + " has " + found.size()
                    + " public methods " + name.methodName() + ": a function's method must be the only one of its name");
        }
        Method method = found.get(0);
        // The class itself need not be public.
        method.setAccessible(true);
        return method;
    }

    private static void initialiseFeatures(Class<?> type, RuntimeContext runtime) {
        List<FnFeature> features = new ArrayList<>();
        FnFeature one = type.getAnnotation(FnFeature.class);
        if (one != null) {
            features.add(one);
        }
        FnFeatures several = type.getAnnotation(FnFeatures.class);
        if (several != null) {
            features.addAll(List.of(several.value()));
        }
        for (FnFeature feature : features) {
            String name = feature.value().getName();
            RuntimeFeature made;
            try {
                made = feature.value().getDeclaredConstructor().newInstance();
            } catch (ReflectiveOperationException e) {
                throw new FunctionConfigurationException(
                        "can't make feature " + name + ": it needs a public constructor without arguments", e);
            }
            try {
                made.initialize(runtime);
            } catch (RuntimeException e) {
                throw new FunctionConfigurationException("feature " + name + " threw when initialised", e);
            }
        }
    }

    // Base classes first; a method that is overridden runs once, in the place of the one it overrides.
    private static List<Method> configurators(Class<?> type) {
        Deque<Class<?>> line = new ArrayDeque<>();
        for (Class<?> c = type; c != null && c != Object.class; c = c.getSuperclass()) {
            line.push(c);
        }
        Map<String, Method> found = new LinkedHashMap<>();
        for (Class<?> c : line) {
            for (Method method : c.getDeclaredMethods()) {
                if (method.isBridge() || !method.isAnnotationPresent(FnConfiguration.class)) {
                    continue;
                }
                check(type, method);
                method.setAccessible(true);
                String key = method.getName() + method.getParameterCount();
                if (Modifier.isStatic(method.getModifiers())) {
                    // Static methods are hidden, not overridden, so each class's runs.
                    key = c.getName() + "." + key;
                }
                found.put(key, method);
            }
        }
        return new ArrayList<>(found.values());
    }

    private static void check(Class<?> type, Method method) {
        String name = longName(type, method);
        if (!Modifier.isPublic(method.getModifiers())) {
            throw new FunctionConfigurationException("configuration method " + name + " is not public");
        }
        if (method.getReturnType() != void.class) {
            throw new FunctionConfigurationException("configuration method " + name + " does not return void");
        }
        Class<?>[] parameters = method.getParameterTypes();
        if (parameters.length > 1 || parameters.length == 1 && !parameters[0].isAssignableFrom(RuntimeContext.class)) {
            throw new FunctionConfigurationException(
                    "configuration method " + name + " may take nothing or a RuntimeContext only");
        }
    }

    private static void configure(Method method, Object instance, RuntimeContext runtime) {
        String name = longName(method.getDeclaringClass(), method);
        try {
            if (method.getParameterCount() == 0) {
                method.invoke(instance);
            } else {
                method.invoke(instance, runtime);
            }
        } catch (InvocationTargetException e) {
            throw new FunctionConfigurationException("configuration method " + name + " threw", e.getCause());
        } catch (IllegalAccessException e) {
            throw new FunctionConfigurationException("configuration method " + name + " can't be called", e);
        }
    }

    private static Object instantiate(Class<?> type, RuntimeContext runtime) {
        String name = type.getName();
        Constructor<?>[] constructors = type.getConstructors();
        if (Modifier.isAbstract(type.getModifiers())) {
            throw new FunctionClassInstantiationException("function class " + name + " is abstract");
        }
        if (type.isMemberClass() && !Modifier.isStatic(type.getModifiers())) {
            throw new FunctionClassInstantiationException(
                    "function class " + name + " is an inner class: make it static or top-level");
        }
        if (constructors.length != 1) {
            throw new FunctionClassInstantiationException("function class " + name + " has " + constructors.length
                    + " public constructors: it needs exactly one, with no argument or a RuntimeContext");
        }
        Constructor<?> constructor = constructors[0];
        constructor.setAccessible(true);
        Class<?>[] parameters = constructor.getParameterTypes();
        try {
            if (parameters.length == 0) {
                return constructor.newInstance();
            }
            if (parameters.length == 1 && parameters[0] == RuntimeContext.class) {
                return constructor.newInstance(runtime);
            }
        } catch (InvocationTargetException e) {
            throw new FunctionClassInstantiationException(
                    "the constructor of function class " + name + " threw", e.getCause());
        } catch (ReflectiveOperationException e) {
            throw new FunctionClassInstantiationException("can't make an object of function class " + name, e);
        }
        throw new FunctionClassInstantiationException("the constructor of function class " + name
                + " takes arguments that the runtime does not have: it may take a RuntimeContext only");
    }

    private static String longName(Class<?> type, Method method) {
        return type.getName() + "::" + method.getName();
    }
}
