package com.fnproject.fn.api;

/**
 * An extension that a function switches on with {@link FnFeature}.
 *
 * <p>An implementation has a public constructor without arguments. One object is made per process,
 * before the function's own {@link FnConfiguration} methods run.
 */
public interface RuntimeFeature {

    /**
     * Adds what the feature brings (coercions, invokers, attributes) to the runtime.
     *
     * @param context the runtime of this function
     */
    void initialize(RuntimeContext context);
}
