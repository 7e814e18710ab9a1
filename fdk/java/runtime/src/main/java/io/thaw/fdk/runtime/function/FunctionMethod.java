package io.thaw.fdk.runtime.function;

import com.fnproject.fn.api.MethodWrapper;
import com.fnproject.fn.api.TypeWrapper;
import java.lang.reflect.GenericArrayType;
import java.lang.reflect.Method;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.lang.reflect.TypeVariable;
import java.lang.reflect.WildcardType;
import java.util.HashMap;
import java.util.Map;

/** The function's method; type variables of generic superclasses are resolved against its class. */
final class FunctionMethod implements MethodWrapper {

    private final Class<?> target;
    private final Method method;
    private final Class<?>[] parameters;
    private final Class<?> result;

    FunctionMethod(Class<?> target, Method method) {
        this.target = target;
        this.method = method;
        Map<TypeVariable<?>, Type> bindings = new HashMap<>();
        collectBindings(target, bindings);
        Type[] types = method.getGenericParameterTypes();
        parameters = new Class<?>[types.length];
        for (int i = 0; i < types.length; i++) {
            parameters[i] = erase(types[i], bindings, 0);
        }
        result = erase(method.getGenericReturnType(), bindings, 0);
    }

    @Override
    public Class<?> getTargetClass() {
        return target;
    }

    @Override
    public Method getTargetMethod() {
        return method;
    }

    @Override
    public TypeWrapper getParamType(int index) {
        Class<?> type = parameters[index];
        return () -> type;
    }

    @Override
    public TypeWrapper getReturnType() {
        return () -> result;
    }

    private static void collectBindings(Class<?> type, Map<TypeVariable<?>, Type> bindings) {
        for (Class<?> c = type; c != null; c = c.getSuperclass()) {
            bind(c.getGenericSuperclass(), bindings);
            for (Type implemented : c.getGenericInterfaces()) {
                bindInterface(implemented, bindings);
            }
        }
    }

    private static void bindInterface(Type type, Map<TypeVariable<?>, Type> bindings) {
        bind(type, bindings);
        Class<?> raw = type instanceof ParameterizedType p ? (Class<?>) p.getRawType() : (Class<?>) type;
        for (Type above : raw.getGenericInterfaces()) {
            bindInterface(above, bindings);
        }
    }

    private static void bind(Type type, Map<TypeVariable<?>, Type> bindings) {
        if (type instanceof ParameterizedType p) {
            TypeVariable<?>[] variables = ((Class<?>) p.getRawType()).getTypeParameters();
            for (int i = 0; i < variables.length; i++) {
                bindings.putIfAbsent(variables[i], p.getActualTypeArguments()[i]);
            }
        }
    }

    // depth ends the recursion of types such as <T extends Comparable<T>> that are bound to themselves.
    private static Class<?> erase(Type type, Map<TypeVariable<?>, Type> bindings, int depth) {
        if (depth > 32) {
            return Object.class;
        }
        if (type instanceof Class<?> c) {
            return c;
        }
        if (type instanceof ParameterizedType p) {
            return (Class<?>) p.getRawType();
        }
        if (type instanceof TypeVariable<?> v) {
            Type bound = bindings.get(v);
            return erase(bound != null ? bound : v.getBounds()[0], bindings, depth + 1);
        }
        if (type instanceof WildcardType w) {
            return erase(w.getUpperBounds()[0], bindings, depth + 1);
        }
        if (type instanceof GenericArrayType a) {
            return erase(a.getGenericComponentType(), bindings, depth + 1).arrayType();
        }
        return Object.class;
    }
}
