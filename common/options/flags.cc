#include "common/options/flags.h"

#include <signal.h>

#include <CLI/CLI.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_replace.h"

namespace thaw {

CLI::Option* AddDuration(CLI::App& app, const std::string& name, absl::Duration& value, const std::string& help) {
  auto* option = app.add_option_function<std::string>(
      name,
      [&value, name](const std::string& text) {
        if (!absl::ParseDuration(text, &value)) {
          throw CLI::ValidationError(name, "'" + text + "' is not a duration such as 250ms, 30s or 1h30m");
        }
      },
      help);
  option->type_name("DURATION")->default_str(absl::FormatDuration(value));
  return option;
}

void AddSecurityFlags(CLI::App& app, SecurityOptions& options) {
  app.add_option("--cluster-token-file", options.cluster_token_file,
                 "file with the secret that all services of the cluster share");
  app.add_option("--tls-cert", options.tls_cert_file, "this service's certificate (PEM)");
  app.add_option("--tls-key", options.tls_key_file, "its key (PEM)");
  app.add_option("--tls-ca", options.tls_ca_file, "the CA that signed all services' certificates (PEM)");
  app.add_flag("--trusted-network", options.trusted_network,
               "listen beyond loopback without TLS: nobody else can reach this network");
}

void AddEnvironmentNames(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    const auto& names = option->get_lnames();
    if (names.empty() || names[0] == "help" || names[0] == "version" || !option->get_envname().empty()) continue;
    option->envname("THAW_" + absl::AsciiStrToUpper(absl::StrReplaceAll(names[0], {{"-", "_"}})));
  }
}

bool ParseFlags(CLI::App& app, int argc, char** argv, int& exit_code) {
  try {
    app.parse(argc, argv);
    return true;
  } catch (const CLI::ParseError& error) {
    exit_code = app.exit(error);
    return false;
  }
}

namespace {
sigset_t StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}
}  // namespace

void BlockStopSignals() {
  const sigset_t signals = StopSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

int WaitForStopSignal() {
  const sigset_t signals = StopSignals();
  int signal = 0;
  sigwait(&signals, &signal);
  return signal;
}

}  // namespace thaw
