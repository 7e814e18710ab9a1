#include "bench/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace thaw::bench {

absl::Duration Percentile(std::vector<absl::Duration> samples, double percent) {
  if (samples.empty()) return absl::ZeroDuration();
  std::sort(samples.begin(), samples.end());
  const auto rank = static_cast<std::size_t>(std::ceil(percent / 100 * static_cast<double>(samples.size())));
  return samples[std::min(std::max<std::size_t>(rank, 1), samples.size()) - 1];
}

void Table::Print() const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string pad(widths[i] - row[i].size(), ' ');
      absl::StrAppend(&line, i == 0 ? "" : "  ", i == 0 ? row[i] : pad, i == 0 ? pad : row[i]);
    }
    std::printf("%s\n", line.c_str());
  }
  std::fflush(stdout);
}

std::string Milliseconds(absl::Duration duration) {
  const double ms = absl::ToDoubleMilliseconds(duration);
  return absl::StrFormat("%.*f", ms < 10 ? 3 : ms < 100 ? 2 : 1, ms);
}

double JsonMilliseconds(absl::Duration duration) { return std::round(absl::ToDoubleMicroseconds(duration)) / 1000; }

void Say(const std::string& text) { std::fprintf(stderr, "%s\n", text.c_str()); }

absl::Status WriteFile(const std::string& path, const std::string& text) {
  if (path.empty()) return absl::OkStatus();
  std::ofstream file(path, std::ios::trunc);
  file << text << "\n";
  file.close();
  return file ? absl::OkStatus()
              : absl::InternalError(absl::StrCat("the file ", path, " can't be written; choose another with --json"));
}

}  // namespace thaw::bench
