/** Serves one function on its socket: the process's main program. */
package io.thaw.fdk.runtime;
