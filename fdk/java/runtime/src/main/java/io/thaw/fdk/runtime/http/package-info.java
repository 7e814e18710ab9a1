/**
 * The server's side of HTTP/1.1 on one blocking connection, as far as the platform speaks it.
 *
 * <p>Written here because the libraries that were looked at bring selectors, threads or descriptors of
 * their own, all of which would lie in the checkpoint; what is needed fits in three classes.
 */
package io.thaw.fdk.runtime.http;
