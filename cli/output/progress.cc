#include "cli/output/progress.h"

#include <algorithm>
#include <array>
#include <ostream>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "cli/output/format.h"
#include "cli/output/text_width.h"

namespace thaw::cli {
namespace {

constexpr absl::Duration kRedraw = absl::Milliseconds(100);
// Between two lines about the same step where nothing is redrawn.
constexpr absl::Duration kPlainInterval = absl::Seconds(10);

std::string AmountText(std::uint64_t done, std::uint64_t total) {
  return total == 0 ? FormatBytes(done) : absl::StrCat(FormatBytes(done), " of ", FormatBytes(total));
}

class LiveProgress final : public Progress {
 public:
  LiveProgress(std::ostream& out, const Terminal& terminal, const Clock& clock)
      : out_(out), terminal_(terminal), clock_(clock), ticker_([this] { Tick(); }) {}

  ~LiveProgress() override {
    stop_.Notify();
    ticker_.join();
    absl::MutexLock lock(&mu_);
    if (open_) Erase();
    out_.flush();
  }

  void Start(absl::string_view label) override {
    absl::MutexLock lock(&mu_);
    if (open_) End(terminal_.Paint(Style::kGreen, "✓"), "");
    open_ = true;
    label_ = std::string(label);
    detail_.clear();
    has_amount_ = false;
    started_ = clock_.Now();
    Draw();
  }
  void Detail(absl::string_view text) override {
    absl::MutexLock lock(&mu_);
    detail_ = Printable(text);
  }
  void Amount(std::uint64_t done, std::uint64_t total) override {
    absl::MutexLock lock(&mu_);
    has_amount_ = true;
    done_ = done;
    total_ = total;
  }
  void Done(absl::string_view result) override {
    absl::MutexLock lock(&mu_);
    if (open_) End(terminal_.Paint(Style::kGreen, "✓"), result);
  }
  void Failed(absl::string_view reason) override {
    absl::MutexLock lock(&mu_);
    if (open_) End(terminal_.Paint(Style::kRed, "✗"), reason);
  }
  void Note(absl::string_view line) override {
    absl::MutexLock lock(&mu_);
    if (open_) Erase();
    out_ << Printable(line) << "\n";
    if (open_) Draw();
    out_.flush();
  }

 private:
  void Tick() {
    while (!stop_.WaitForNotificationWithTimeout(kRedraw)) {
      absl::MutexLock lock(&mu_);
      if (!open_) continue;
      ++frame_;
      Draw();
    }
  }

  void Erase() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { out_ << "\r\x1b[2K"; }

  void Draw() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    static constexpr std::array<const char*, 10> kFrames = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
    const std::string spent = FormatShortDuration(clock_.Now() - started_);
    std::string middle = detail_;
    if (has_amount_) {
      middle = AmountText(done_, total_);
      if (total_ > 0) {
        constexpr int kBar = 24;
        const int full = static_cast<int>(std::min<std::uint64_t>(kBar, done_ * kBar / total_));
        std::string bar;
        for (int i = 0; i < kBar; ++i) bar += i < full ? "━" : "┄";
        middle = absl::StrCat(bar, " ", middle);
      }
    }
    std::string text = absl::StrCat(label_, middle.empty() ? "" : "  ", middle, "  ", spent);
    Erase();
    // One column is left free: a full line would wrap, and could then not be erased.
    out_ << terminal_.Paint(Style::kCyan, kFrames[frame_ % kFrames.size()]) << " "
         << Ellipsize(text, terminal_.width - 3);
    out_.flush();
  }

  void End(absl::string_view mark, absl::string_view result) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    Erase();
    out_ << mark << " " << label_ << (result.empty() ? "" : ": ") << Printable(result)
         << terminal_.Paint(Style::kDim, absl::StrCat("  ", FormatShortDuration(clock_.Now() - started_)))
         << "\n";
    out_.flush();
    open_ = false;
  }

  std::ostream& out_;
  const Terminal terminal_;
  const Clock& clock_;
  absl::Mutex mu_;
  bool open_ ABSL_GUARDED_BY(mu_) = false;
  std::string label_ ABSL_GUARDED_BY(mu_), detail_ ABSL_GUARDED_BY(mu_);
  bool has_amount_ ABSL_GUARDED_BY(mu_) = false;
  std::uint64_t done_ ABSL_GUARDED_BY(mu_) = 0, total_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Time started_ ABSL_GUARDED_BY(mu_);
  std::size_t frame_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Notification stop_;
  std::thread ticker_;
};

class PlainProgress final : public Progress {
 public:
  PlainProgress(std::ostream& out, const Clock& clock) : out_(out), clock_(clock) {}

  void Start(absl::string_view label) override {
    absl::MutexLock lock(&mu_);
    label_ = std::string(label);
    started_ = last_line_ = clock_.Now();
    Line("...");
  }
  void Detail(absl::string_view text) override {
    absl::MutexLock lock(&mu_);
    if (!Due()) return;
    Line(absl::StrCat(": ", Printable(text), " (", FormatShortDuration(clock_.Now() - started_), ")"));
  }
  void Amount(std::uint64_t done, std::uint64_t total) override {
    absl::MutexLock lock(&mu_);
    if (!Due()) return;
    Line(absl::StrCat(": ", AmountText(done, total)));
  }
  void Done(absl::string_view result) override { End("done", result); }
  void Failed(absl::string_view reason) override { End("FAILED", reason); }
  void Note(absl::string_view line) override {
    absl::MutexLock lock(&mu_);
    out_ << Printable(line) << "\n";
    out_.flush();
  }

 private:
  bool Due() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (clock_.Now() - last_line_ < kPlainInterval) return false;
    last_line_ = clock_.Now();
    return true;
  }
  void Line(absl::string_view rest) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    out_ << label_ << rest << "\n";
    out_.flush();
  }
  void End(absl::string_view word, absl::string_view result) {
    absl::MutexLock lock(&mu_);
    if (label_.empty()) return;
    Line(absl::StrCat(": ", word, result.empty() ? "" : ", ", Printable(result), " (",
                      FormatShortDuration(clock_.Now() - started_), ")"));
    label_.clear();
  }

  std::ostream& out_;
  const Clock& clock_;
  absl::Mutex mu_;
  std::string label_ ABSL_GUARDED_BY(mu_);
  absl::Time started_ ABSL_GUARDED_BY(mu_), last_line_ ABSL_GUARDED_BY(mu_);
};

class QuietProgress final : public Progress {
 public:
  void Start(absl::string_view) override {}
  void Detail(absl::string_view) override {}
  void Amount(std::uint64_t, std::uint64_t) override {}
  void Done(absl::string_view) override {}
  void Failed(absl::string_view) override {}
  void Note(absl::string_view) override {}
};

}  // namespace

std::unique_ptr<Progress> MakeProgress(std::ostream& out, const Terminal& terminal, const Clock& clock) {
  if (terminal.interactive) return std::make_unique<LiveProgress>(out, terminal, clock);
  return std::make_unique<PlainProgress>(out, clock);
}

std::unique_ptr<Progress> MakeQuietProgress() { return std::make_unique<QuietProgress>(); }

}  // namespace thaw::cli
