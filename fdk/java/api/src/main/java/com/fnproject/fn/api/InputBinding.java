package com.fnproject.fn.api;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/** Names the coercion that makes the annotated parameter; no other one is tried for it. */
@Documented
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.PARAMETER)
public @interface InputBinding {

    /** @return the coercion's class, with a public constructor without arguments */
    @SuppressWarnings("rawtypes")
    Class<? extends InputCoercion> coercion();
}
