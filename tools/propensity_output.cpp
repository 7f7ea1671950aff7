#include "tools/propensity_output.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>

#include "host/error.hpp"
#include "tools/propensity_frames.hpp"
#include "tools/spread_rows.hpp"

namespace coterie::tools {

namespace {

constexpr char kCustomers[] = "uns/propensity/customers";

io::RowColumn id_column(const io::FeatureFile& input) {
  const io::IdFormat ids = id_format(input);
  return {.name = ids.name,
          .type = ids.is_integer ? io::CellType::int64 : io::CellType::text,
          .text_bytes = ids.text_bytes,
          .table_name = "customer_id"};
}

// Cells of consecutive rows, one entry per column.
struct RowCells {
  std::int64_t first_row, n_rows;
  std::vector<io::Cells> cells;
};

std::int64_t n_cells(const io::Cells& cells) {
  return std::visit([](const auto& of) { return static_cast<std::int64_t>(of.size()); }, cells);
}

// From chosen rows to rows of the file (spread_rows.hpp).
void spread_cells(const RowSelection* selection, const RowCells& chosen, const std::function<void(const RowCells&)>& sink) {
  if (selection == nullptr) return sink(chosen);
  const std::vector<std::int32_t> no_label(static_cast<std::size_t>(chosen.n_rows));
  spread_rows(selection, {chosen.first_row, no_label, no_label, chosen.cells, {}}, [&](const PlacedRows& piece) {
    sink({piece.first_row, std::ssize(piece.label), piece.cells});
  });
}

// propensity_split where there are folds, then the scores.
std::vector<io::RowColumn> score_columns(const PropensityRows& scores, std::span<const std::int8_t> folds) {
  std::vector<io::RowColumn> columns;
  if (!folds.empty()) columns.push_back({.name = "propensity_split", .type = io::CellType::int32, .categories = {"fit", "held-out"}});
  for (io::RowColumn& column : scores.columns()) columns.push_back(std::move(column));
  return columns;
}

// Calls sink with the cells of these columns of consecutive chosen rows.
void map_scores(Session& session, TileSource& rows, PropensityRows& scores, std::span<const std::int8_t> folds,
                const std::function<void(const RowCells&)>& sink) {
  constexpr std::int64_t kRowsAtOnce = 1 << 16;  // where there are no scores to bring them
  const auto put = [&](std::int64_t first_row, std::int64_t n_rows, const std::vector<io::Cells>& of_scores) {
    std::vector<std::int32_t> split;
    std::vector<io::Cells> cells;
    if (!folds.empty()) {
      for (const std::int8_t fold : folds.subspan(static_cast<std::size_t>(first_row), static_cast<std::size_t>(n_rows)))
        split.push_back(fold < 0 ? 1 : 0);
      cells.emplace_back(std::span<const std::int32_t>(split));
    }
    cells.insert(cells.end(), of_scores.begin(), of_scores.end());
    sink({first_row, n_rows, cells});
  };
  if (scores.empty())
    for (std::int64_t first = 0; first < rows.n_rows(); first += kRowsAtOnce) put(first, std::min(kRowsAtOnce, rows.n_rows() - first), {});
  else
    map_propensities(session, rows, scores,
                     [&](std::int64_t first_row, const std::vector<io::Cells>& cells) { put(first_row, n_cells(cells.front()), cells); });
}

}  // namespace

void append_scores(Session& session, const ScoreFile& to, TileSource& rows, const io::PropensityModels& models,
                   std::span<const std::int8_t> folds) {
  PropensityRows scores(models);
  const std::vector<io::RowColumn> columns = score_columns(scores, folds);
  if (columns.empty()) return;
  io::RowStream& stream = to.file.open_rows(columns);
  map_scores(session, rows, scores, folds, [&](const RowCells& chosen) {
    spread_cells(to.selection, chosen, [&](const RowCells& piece) { stream.write(piece.first_row, piece.cells); });
  });
}

void add_propensities(Session& session, Input& input, const PropensityJob& job, io::H5adWriter& file, io::DataFrame& table) {
  PropensityOptions options = job.options;
  find_split(session, input, options.split);
  Propensities propensities(session, input, options, job.segments);
  const io::DataFrame goals = goals_frame(session.context(), propensities, input.weights());
  const io::PropensityModels models = propensities.models();
  append_scores(session, {file, input.selection()}, propensities.rows(), models, propensities.data().folds());
  io::write_propensities(file, models);
  write_propensity_tables(file, propensities, goals);
  const auto& means = std::get<std::vector<double>>(*goals.find("mean_probability"));  // by goal, then segment, then everybody
  const std::size_t n_segments = table.n_rows();
  for (std::size_t t = 0; t < propensities.results().size(); ++t) {
    const auto first = means.begin() + static_cast<std::ptrdiff_t>(t * (n_segments + 1));
    table.columns.emplace_back(propensities.results()[t].target.name + "_probability",
                               std::vector<double>(first, first + static_cast<std::ptrdiff_t>(n_segments)));
  }
  for (const Propensity& propensity : propensities.results()) session.say(summary(propensity, propensities.data().judged()));
}

PropensityOutput::PropensityOutput(Context& context, const OutputOptions& options, const Input& input, std::size_t n_targets,
                                   const std::string& read)
    : input_(input.file()),
      selection_(input.selection()),
      request_(output_request(options, input_, read, input_.n_rows() * (score_bytes(n_targets) + input_.longest_id()))),
      output_(request_),
      file_(output_, io::result_options(input_.n_rows(), input_.id_name(), &context)),
      csv_(open_csv(options, request_)) {
  input_.start_fingerprint();
}

void PropensityOutput::write(Session& session, Propensities& propensities, const io::DataFrame& goals) {
  const io::PropensityModels models = propensities.models();
  write_scores(session, propensities.rows(), models, propensities.data().folds());
  io::write_propensities(file_, models);
  write_propensity_tables(file_, propensities, goals);
}

void PropensityOutput::write_scores(Session& session, TileSource& rows, const io::PropensityModels& models,
                                    std::span<const std::int8_t> folds) {
  PropensityRows scores(models);
  std::vector<io::RowColumn> columns{id_column(input_)};
  for (io::RowColumn& column : score_columns(scores, folds)) columns.push_back(std::move(column));
  io::RowStream& stream = file_.open_rows(columns, kCustomers);
  if (csv_) io::write_csv_header(csv_->writer(), columns);
  const auto put = [&](const RowCells& rows_of_file) {
    const IdCells ids(input_, rows_of_file.first_row, rows_of_file.n_rows);
    std::vector<io::Cells> cells{ids.cells()};
    cells.insert(cells.end(), rows_of_file.cells.begin(), rows_of_file.cells.end());
    stream.write(rows_of_file.first_row, cells);
    if (csv_) csv_->writer().rows(session.context(), columns, cells);
  };
  map_scores(session, rows, scores, folds, [&](const RowCells& chosen) { spread_cells(selection_, chosen, put); });
}

void PropensityOutput::commit() {
  file_.close();
  if (csv_) csv_->commit();
  file_.commit();
}

}  // namespace coterie::tools
