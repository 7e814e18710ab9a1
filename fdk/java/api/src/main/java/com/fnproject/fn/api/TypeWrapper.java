package com.fnproject.fn.api;

/** A parameter's or a result's type. */
public interface TypeWrapper {

    /** @return the class that the type comes to once type variables are resolved */
    Class<?> getParameterClass();
}
