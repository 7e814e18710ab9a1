/** The user's function: found, configured, and called with arguments made out of a request. */
package io.thaw.fdk.runtime.function;
