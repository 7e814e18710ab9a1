package com.fnproject.fn.api;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/** Names the coercion that turns the annotated method's result into the answer; no other is tried. */
@Documented
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.METHOD)
public @interface OutputBinding {

    /** @return the coercion's class, with a public constructor without arguments */
    Class<? extends OutputCoercion> coercion();
}
