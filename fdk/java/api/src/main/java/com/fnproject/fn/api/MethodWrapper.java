package com.fnproject.fn.api;

import java.lang.reflect.Method;

/** The function's method, with the generic types of its class resolved. */
public interface MethodWrapper {

    /** @return the class named in the function's command, which may inherit the method */
    Class<?> getTargetClass();

    /** @return the method */
    Method getTargetMethod();

    /**
     * @param index a parameter's index, from 0
     * @return its type
     */
    TypeWrapper getParamType(int index);

    /** @return the type of its result */
    TypeWrapper getReturnType();

    /** @return {@code Class::method}, for messages */
    default String getLongName() {
        return getTargetClass().getCanonicalName() + "::" + getTargetMethod().getName();
    }

    /** @return how many parameters it takes */
    default int getParameterCount() {
        return getTargetMethod().getParameterCount();
    }
}
