/**
 * What a function may use of the platform that runs it.
 *
 * <p>Names and meanings are those of the Fn project's Java API, so that a function written for Fn
 * compiles against this artifact and runs on Thaw, and the other way round. Nothing here depends on
 * the runtime.
 */
package com.fnproject.fn.api;
