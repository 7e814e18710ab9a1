/**
 * The CRaC API for JDKs that have none, in the package where {@code org.crac} looks for it.
 *
 * <p>Unmodified {@code org.crac} (0.1.3 to 1.5) finds this package on the class path of a stock JDK, so
 * every library that supports CRaC gets its callbacks. On a JDK with CRaC built in, that JDK's own
 * classes win and these are never loaded. There is no {@code jdk.crac.management} here on purpose:
 * on the class path it would make {@code org.crac}'s management bean throw.
 */
package jdk.crac;
