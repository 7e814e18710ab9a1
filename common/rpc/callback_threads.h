#ifndef THAW_COMMON_RPC_CALLBACK_THREADS_H_
#define THAW_COMMON_RPC_CALLBACK_THREADS_H_

namespace thaw {

// Keeps gRPC's threads for callbacks until the process ends. By itself gRPC ends them with the last channel or server; where
// a callback lets go of that one, the thread joins itself, which fails unseen up to gRPC 1.53 (its pull request 32584 tells
// how), and the process aborts a moment later. Whoever makes a channel or a server calls this first. Idempotent; any thread.
void KeepCallbackThreads();

}  // namespace thaw

#endif  // THAW_COMMON_RPC_CALLBACK_THREADS_H_
