/** How the process takes part in its own checkpoint: docs/design/init-protocol.md, the FDK's part. */
package io.thaw.fdk.runtime.checkpoint;
