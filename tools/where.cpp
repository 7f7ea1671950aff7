#include "tools/where.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "host/contains.hpp"
#include "host/error.hpp"
#include "host/passes.hpp"
#include "host/row_blocks.hpp"
#include "tools/suggest.hpp"
#include "tools/table.hpp"

namespace coterie::tools {

namespace {

// Where the cells of a column lie: in X, or read from obs.
struct BoundColumn {
  std::int32_t x = -1;          // column of X, or -1
  std::vector<double> numbers;  // (n_rows) of obs
  bool is_narrow = false;
  std::optional<io::Categories> categories;
};

class Binding {
 public:
  Binding(Session& session, const io::FeatureFile& file, const RowFilter& filter)
      : context_(session.context()), file_(file), filter_(filter) {
    for (const RowFilter::Column& column : filter.columns()) columns_.push_back(bind(column.name));
  }

  // Of a column that is text; nullptr: of another.
  const std::vector<std::string>* levels(const std::string& name) const {
    for (std::size_t i = 0; i < columns_.size(); ++i)
      if (filter_.columns()[i].name == name && columns_[i].categories) return &columns_[i].categories->levels;
    return nullptr;
  }

  bool reads_x() const {
    return std::any_of(columns_.begin(), columns_.end(), [](const BoundColumn& column) { return column.x >= 0; });
  }

  void begin(int) {}
  std::span<const char> predict(const Tile& tile) { return choose(tile.first_row, tile.n_rows, &tile); }

  // tile: of these rows, or nullptr when no column of X is needed.
  std::span<const char> choose(std::int64_t first_row, std::int64_t n_rows, const Tile* tile) {
    chosen_.resize(static_cast<std::size_t>(n_rows));
    for_each_block(context_, n_rows, [&](std::int64_t from, std::int64_t to, std::size_t) {
      const std::vector<char> part = choose_block(first_row + from, to - from, tile, from);
      std::copy(part.begin(), part.end(), chosen_.begin() + from);
    });
    return chosen_;
  }

 private:
  BoundColumn bind(const std::string& name) {
    BoundColumn bound;
    const auto& columns = file_.columns();
    const auto found = std::find_if(columns.begin(), columns.end(), [&](const io::FeatureColumn& c) { return c.name == name; });
    if (found != columns.end()) {
      bound.x = static_cast<std::int32_t>(found - columns.begin());
      return bound;
    }
    const auto& obs = file_.obs();
    const auto beside = std::find_if(obs.begin(), obs.end(), [&](const io::ObsColumn& c) { return c.name == name; });
    const bool is_category = beside != obs.end() && beside->is_category;
    const auto cell = static_cast<std::int64_t>(is_category ? sizeof(std::int32_t) : sizeof(double));
    memory_.push_back(context_.memory().reserve("a column that --where looks at", file_.n_rows() * cell));
    if (is_category) {
      bound.categories = file_.categories(name, &context_);
    } else {
      bound.numbers = file_.numbers(name);
      bound.is_narrow = beside != obs.end() && beside->is_narrow;
    }
    return bound;
  }

  // row: of the file; from: of the tile.
  std::vector<char> choose_block(std::int64_t row, std::int64_t n, const Tile* tile, std::int64_t from) const {
    std::vector<std::vector<double>> x(columns_.size());
    std::vector<RowFilter::Cells> cells(columns_.size());
    const auto first = static_cast<std::size_t>(row), count = static_cast<std::size_t>(n);
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const BoundColumn& column = columns_[i];
      if (column.x >= 0) {
        visit_cells(*tile, [&](const auto* all) {
          for (std::int64_t r = from; r < from + n; ++r) x[i].push_back(static_cast<double>(all[r * tile->n_columns + column.x]));
        });
        cells[i].numbers = x[i];
        cells[i].are_narrow = tile->x != nullptr;
      } else if (column.categories) {
        cells[i].codes = std::span(column.categories->codes).subspan(first, count);
        cells[i].levels = &column.categories->levels;
      } else {
        cells[i].numbers = std::span(column.numbers).subspan(first, count);
        cells[i].are_narrow = column.is_narrow;
      }
    }
    return filter_.evaluate(cells, n);
  }

  Context& context_;
  const io::FeatureFile& file_;
  const RowFilter& filter_;
  std::vector<Reservation> memory_;
  std::vector<BoundColumn> columns_;
  std::vector<char> chosen_;
};

std::vector<std::string> known_columns(const io::FeatureFile& file) {
  std::vector<std::string> known;
  for (const io::FeatureColumn& column : file.columns()) known.push_back(column.name);
  for (const io::ObsColumn& column : file.obs()) known.push_back(column.name);
  return known;
}

// Typing errors of the user: columns, and then levels.
void check_given(const io::FeatureFile& file, const RowFilter& filter) {
  const std::vector<std::string> known = known_columns(file);
  for (const RowFilter::Column& column : filter.columns())
    if (!contains(known, column.name))
      throw ArgumentError(fmt::format("--where, character {}: file '{}' has no column {}.{} `coterie inspect` lists them.", column.position,
                                      file.path().string(), column.name, did_you_mean(column.name, known)));
}

void check_levels(const io::FeatureFile& file, const RowFilter& filter, const Binding& binding) {
  for (const RowFilter::Column& column : filter.columns()) {
    const std::vector<std::string>* levels = binding.levels(column.name);
    if (levels == nullptr) continue;
    for (const std::string& level : column.levels)
      if (!contains(*levels, level))
        throw ArgumentError(fmt::format("--where: the column {} of file '{}' has no level \"{}\".{}", column.name, file.path().string(),
                                        level, did_you_mean(level, *levels)));
  }
}

void check_model(const io::FeatureFile& file, const RowFilter& filter) {
  const std::vector<std::string> known = known_columns(file);
  for (const RowFilter::Column& column : filter.columns())
    if (!contains(known, column.name))
      throw ContentsError(
          fmt::format("file '{}' lacks the column {}, which the model needs to tell whom its --where chooses: {}. Nothing was "
                      "written. Add the column, missing cells are allowed.",
                      file.path().string(), column.name, filter.text()));
}

std::string joined(const Conditions& conditions) {
  if (conditions.model.empty()) return conditions.given;
  return conditions.given.empty() ? conditions.model : fmt::format("({}) && ({})", conditions.model, conditions.given);
}

RowSelection choose(Context& context, const io::FeatureFile& file, TileSource& raw, Binding& binding) {
  RowSelection selection(context.memory(), file.n_rows());
  if (binding.reads_x()) {
    map_tiles(context, raw, binding, 0, [&](std::int64_t, std::span<const char> chosen) { selection.append(chosen); }, {.phase = "where"});
    return selection;
  }
  constexpr std::int64_t kRowsAtOnce = 16 * kBlockRows;
  for (std::int64_t row = 0; row < file.n_rows(); row += kRowsAtOnce)
    selection.append(binding.choose(row, std::min(kRowsAtOnce, file.n_rows() - row), nullptr));
  return selection;
}

}  // namespace

RowSelection select_rows(Session& session, const io::FeatureFile& file, TileSource& raw, const Conditions& conditions) {
  if (!conditions.given.empty()) check_given(file, RowFilter(conditions.given));
  if (!conditions.model.empty()) check_model(file, RowFilter(conditions.model));
  const RowFilter filter(joined(conditions));
  Binding binding(session, file, filter);
  if (!conditions.given.empty()) check_levels(file, RowFilter(conditions.given), binding);
  RowSelection selection = choose(session.context(), file, raw, binding);
  if (selection.n_chosen() == 0)
    throw ContentsError(fmt::format("file '{}': none of its {} customers meets the condition: {}. Nothing was written.",
                                    file.path().string(), with_separators(file.n_rows()), joined(conditions)));
  session.say(fmt::format("{} of {} customers are chosen by: {} (rows in messages count among them)", with_separators(selection.n_chosen()),
                          with_separators(file.n_rows()), joined(conditions)));
  return selection;
}

}  // namespace coterie::tools
