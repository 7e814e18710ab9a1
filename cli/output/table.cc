#include "cli/output/table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/output/text_width.h"

namespace thaw::cli {
namespace {

constexpr int kGap = 2;
constexpr int kNarrowest = 8;

std::string Pad(absl::string_view text, int width, Table::Align align, Style style,
                const Terminal& terminal) {
  const int missing = width - DisplayWidth(text);
  const std::string space(static_cast<std::size_t>(std::max(0, missing)), ' ');
  const std::string painted = terminal.Paint(style, text);
  return align == Table::Align::kRight ? space + painted : painted + space;
}

void AppendLine(std::string& out, std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  absl::StrAppend(&out, line, "\n");
}

}  // namespace

void Table::AddRow(std::vector<Cell> cells) {
  cells.resize(columns_.size(), Cell(""));
  for (Cell& cell : cells) cell.text = cell.text.empty() ? "-" : Printable(cell.text);
  rows_.push_back(std::move(cells));
}

std::string Table::Render(const Terminal& terminal) const {
  std::vector<int> widths;
  for (const Column& column : columns_) widths.push_back(DisplayWidth(column.title));
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], DisplayWidth(row[i].text));
  }
  if (terminal.interactive) {
    while (true) {
      int total = kGap * (static_cast<int>(widths.size()) - 1);
      for (const int width : widths) total += width;
      int widest = -1;
      for (std::size_t i = 0; i < widths.size(); ++i) {
        if (columns_[i].may_shrink && widths[i] > kNarrowest &&
            (widest < 0 || widths[i] > widths[static_cast<std::size_t>(widest)])) {
          widest = static_cast<int>(i);
        }
      }
      if (total <= terminal.width || widest < 0) break;
      --widths[static_cast<std::size_t>(widest)];
    }
  }

  std::string out;
  const std::string gap(kGap, ' ');
  std::string line;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    absl::StrAppend(
        &line, i == 0 ? "" : gap,
        Pad(Ellipsize(columns_[i].title, widths[i]), widths[i], columns_[i].align, Style::kBold, terminal));
  }
  AppendLine(out, line);
  for (const auto& row : rows_) {
    line.clear();
    for (std::size_t i = 0; i < row.size(); ++i) {
      absl::StrAppend(
          &line, i == 0 ? "" : gap,
          Pad(Ellipsize(row[i].text, widths[i]), widths[i], columns_[i].align, row[i].style, terminal));
    }
    AppendLine(out, line);
  }
  return out;
}

std::string RenderFields(const std::vector<std::pair<std::string, std::string>>& fields,
                         const Terminal& terminal) {
  int width = 0;
  for (const auto& [name, value] : fields) width = std::max(width, DisplayWidth(name));
  std::string out;
  for (const auto& [name, value] : fields) {
    AppendLine(out, absl::StrCat(Pad(name, width + kGap, Table::Align::kLeft, Style::kBold, terminal),
                                 value.empty() ? "-" : Printable(value)));
  }
  return out;
}

}  // namespace thaw::cli
