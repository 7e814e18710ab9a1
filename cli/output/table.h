#ifndef THAW_CLI_OUTPUT_TABLE_H_
#define THAW_CLI_OUTPUT_TABLE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cli/output/terminal.h"

namespace thaw::cli {

// A table for people: a heading line, then rows with columns aligned by what they take on screen. What does
// not fit a terminal is cut in the widest column that may be cut. One thread at a time.
class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string title;
    Align align = Align::kLeft;
    // Whether its texts may be cut to fit a terminal.
    bool may_shrink = false;
  };
  struct Cell {
    std::string text;
    Style style = Style::kPlain;
    Cell(std::string text, Style style = Style::kPlain)
        : text(std::move(text)), style(style) {}  // NOLINT: implicit
    Cell(const char* text) : text(text) {}        // NOLINT: implicit
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // Missing cells are empty; more than there are columns are dropped. An empty cell is shown as `-`.
  void AddRow(std::vector<Cell> cells);
  bool empty() const { return rows_.empty(); }

  // Lines with final newlines, no trailing spaces. Cut to the width only where a person looks at it, so that
  // a pipe gets everything.
  std::string Render(const Terminal& terminal) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

// Pairs as two aligned columns, for `inspect`.
std::string RenderFields(const std::vector<std::pair<std::string, std::string>>& fields,
                         const Terminal& terminal);

}  // namespace thaw::cli

#endif  // THAW_CLI_OUTPUT_TABLE_H_
