// A fake agent in a process of its own, so that a test can kill it as a machine dies: with SIGKILL.
//
//   thaw-test-agent TOKEN echo|hang
//
// Prints its port, then a line `call` for each call that arrives. Ends when its stdin does.
#include <cstdio>
#include <string>

#include "tests/fakes/fake_agent_server.h"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  using Agent = thaw::testing::FakeAgentServer;
  Agent agent(argv[1]);
  const bool hang = std::string(argv[2]) == "hang";
  agent.set_on_invoke([hang](const thaw::agent::v1::InvokeRequest& request) {
    std::printf("call\n");
    std::fflush(stdout);
    return hang ? Agent::Hang(request) : Agent::Echo(request);
  });
  agent.Start();
  std::printf("%d\n", agent.port());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  return 0;
}
