// thaw-bench: what bench/run runs. Needs a Docker Engine, the Java images and, in THAW_OUT, the test functions' jars.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "bench/checkpoint_load.h"
#include "bench/load.h"
#include "bench/start.h"
#include "tests/support/cluster.h"

int main(int argc, char** argv) {
  CLI::App app("Measures Thaw on this machine, on a cluster of its own.", "thaw-bench");
  app.require_subcommand(1);

  thaw::bench::StartOptions start;
  CLI::App& start_command = *app.add_subcommand("start", "how long a first answer takes, by the way it came about");
  start_command.add_option("--json", start.json_file, "file for the rows");
  start_command.add_option("--n", start.samples, "samples of each case")->check(CLI::Range(1, 1000))->capture_default_str();
  start_command.add_option("--fndemo-image", start.fndemo_image, "image of examples/fndemo, for its cases");

  thaw::bench::LoadOptions load;
  double seconds = 5;
  CLI::App& load_command = *app.add_subcommand("load", "latency and throughput of a warm function");
  load_command.add_option("--json", load.json_file, "file for the rows");
  load_command.add_option("--seconds", seconds, "for each row")->check(CLI::Range(0.1, 3600.0))->capture_default_str();

  thaw::bench::CheckpointLoadOptions checkpoint_load;
  double load_seconds = 120, every_seconds = 10;
  CLI::App& checkpoint_command =
      *app.add_subcommand("checkpoint-load", "latency of a warm function while its instances are frozen again and again");
  checkpoint_command.add_option("--json", checkpoint_load.json_file, "file for the rows");
  checkpoint_command.add_option("--seconds", load_seconds, "for each row")->check(CLI::Range(1.0, 3600.0))->capture_default_str();
  checkpoint_command.add_option("--every", every_seconds, "seconds from checkpoint to checkpoint")
      ->check(CLI::Range(1.0, 3600.0))
      ->capture_default_str();

  CLI11_PARSE(app, argc, argv);
  const std::string missing = thaw::testing::MissingOnThisHost();
  if (!missing.empty()) {
    std::fprintf(stderr, "thaw-bench: %s\n", missing.c_str());
    return 1;
  }
  load.time = absl::Seconds(seconds);
  checkpoint_load.time = absl::Seconds(load_seconds);
  checkpoint_load.every = absl::Seconds(every_seconds);
  const absl::Status status = start_command.parsed()        ? thaw::bench::MeasureStarts(start)
                              : checkpoint_command.parsed() ? thaw::bench::MeasureCheckpointLoad(checkpoint_load)
                                                            : thaw::bench::MeasureLoad(load);
  if (status.ok()) return 0;
  std::fprintf(stderr, "thaw-bench: %s\n", std::string(status.message()).c_str());
  return 1;
}
