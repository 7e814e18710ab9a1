/** What stands behind {@code jdk.crac} on a stock JDK; used by the runtime, not by functions. */
package io.thaw.crac;
