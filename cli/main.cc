#include <unistd.h>

#include <clocale>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands/run.h"
#include "cli/gateway/grpc_client.h"
#include "cli/hidden_input.h"
#include "cli/interrupt.h"
#include "cli/metrics/scraper.h"
#include "cli/process/posix_runner.h"
#include "common/clock/clock.h"

int main(int argc, char** argv) {
  using namespace thaw::cli;  // NOLINT: this is the program
  // Before anything starts a thread.
  SignalInterrupt interrupt;
  // A reader that went away (`| head`) shows as a failed write.
  std::signal(SIGPIPE, SIG_IGN);
  std::ios::sync_with_stdio(false);

  const auto variable = [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
  };
  std::function<std::optional<std::string>(const std::string&)> ask_hidden;
  if (isatty(STDIN_FILENO) == 1) {
    ask_hidden = [&interrupt](const std::string& prompt) { return AskHidden(STDIN_FILENO, prompt, interrupt); };
  }
  const bool no_color = variable("NO_COLOR").has_value();
  PosixProcessRunner processes(interrupt);
  HttpMetricsScraper metrics;
  thaw::RealClock clock;
  Environment environment{
      .in = std::cin,
      .out = std::cout,
      .err = std::cerr,
      .out_terminal = Terminal::Of(STDOUT_FILENO, no_color),
      .err_terminal = Terminal::Of(STDERR_FILENO, no_color),
      .variable = variable,
      .ask_hidden = ask_hidden,
      .connect =
          [&interrupt](const ConnectionOptions& options) -> absl::StatusOr<std::shared_ptr<GatewayClient>> {
        auto client = MakeGrpcGatewayClient(options);
        if (!client.ok()) return client.status();
        std::shared_ptr<GatewayClient> shared = *std::move(client);
        interrupt.OnRequest([weak = std::weak_ptr<GatewayClient>(shared)] {
          if (const auto alive = weak.lock()) alive->CancelAll();
        });
        return shared;
      },
      .processes = processes,
      .metrics = metrics,
      .clock = clock,
      .interrupt = interrupt,
  };
  const int code = RunCli(std::vector<std::string>(argv + 1, argv + argc), environment);
  std::cout.flush();
  std::cerr.flush();
  // The signal thread uses `interrupt` to the last: no destructor may run under it.
  std::_Exit(code);
}
