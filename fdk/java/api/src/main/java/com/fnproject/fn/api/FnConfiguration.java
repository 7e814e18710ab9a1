package com.fnproject.fn.api;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * Marks a method of the function class that prepares it, once per process, before the first call.
 *
 * <p>The method is public, returns {@code void}, and takes nothing or a {@link RuntimeContext}. Static
 * ones run first, then the function object is made, then instance methods run; in both groups those
 * of a superclass run before those of its subclass. Instance methods are not allowed when the function's
 * own method is static. An exception makes the call that caused the loading fail.
 */
@Documented
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.METHOD)
public @interface FnConfiguration {
}
