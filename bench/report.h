#ifndef THAW_BENCH_REPORT_H_
#define THAW_BENCH_REPORT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace thaw::bench {

// The value that `percent` of the samples don't exceed (nearest rank). Zero when there are none.
absl::Duration Percentile(std::vector<absl::Duration> samples, double percent);

// A table for people on standard output: columns as wide as their widest cell, the first one to the left.
class Table {
 public:
  explicit Table(std::vector<std::string> titles) { rows_.push_back(std::move(titles)); }
  void Add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  void Print() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// "12.34", milliseconds with the digits that matter.
std::string Milliseconds(absl::Duration duration);
// As a number for JSON, rounded to microseconds.
double JsonMilliseconds(absl::Duration duration);

// A line on standard error: what is being measured now.
void Say(const std::string& text);

// Writes the whole file, or says why not. An empty path writes nothing.
absl::Status WriteFile(const std::string& path, const std::string& text);

}  // namespace thaw::bench

#endif  // THAW_BENCH_REPORT_H_
