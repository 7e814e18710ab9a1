package com.fnproject.fn.api;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Inherited;
import java.lang.annotation.Repeatable;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/** Switches a {@link RuntimeFeature} on for the function class that carries it. */
@Documented
@Inherited
@Repeatable(FnFeatures.class)
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.TYPE)
public @interface FnFeature {

    /** @return the feature's class, with a public constructor without arguments */
    Class<? extends RuntimeFeature> value();
}
