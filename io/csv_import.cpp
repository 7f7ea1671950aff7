#include "io/csv_import.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "host/column_names.hpp"
#include "host/contains.hpp"
#include "host/error.hpp"
#include "io/column_encoder.hpp"
#include "io/feature_writer.hpp"

namespace coterie::io {
namespace {

std::vector<ColumnTally> tally_columns(Context& context, ImportRows& rows, const ImportOptions& options) {
  const CsvTable& table = rows.table();
  std::vector<bool> may_be_id;
  for (const std::string& name : table.header()) may_be_id.push_back(name == options.id || (options.id.empty() && id_rank(name) > 0));
  ColumnTallies tallies(context, table, options.decimal, may_be_id);
  std::int64_t done = 0;
  rows.rewind();
  for (auto batches = rows.next(); !batches.empty(); batches = rows.next()) {
    tallies.add(batches);
    context.report({"types", done += count_rows(batches), 0});  // how many rows there are shows at the end
  }
  return tallies.finish();
}

// The name of the index where no column is the id: one that no column has.
std::string row_number_name(const std::vector<std::string>& header) {
  std::string name = "row";
  while (contains(header, name)) name += "_number";
  return name;
}

// Everything the second pass needs to know about the new file.
struct Plan {
  std::vector<ColumnEncoder> encoders;  // of the columns that are kept
  std::vector<std::size_t> obs;         // encoders that fill obs, in the layout's order; row numbers, if any, come first
  FeatureFileLayout layout;
};

void plan_obs(Plan& plan, const ImportReport& report) {
  if (report.ids_are_row_numbers) {
    RowColumn rows;
    rows.name = report.id_name;
    rows.type = CellType::int64;
    plan.layout.obs.push_back(rows);
  }
  for (std::size_t i = 0; i < plan.encoders.size(); ++i) {
    const std::optional<RowColumn> column = plan.encoders[i].obs();
    if (!column) continue;
    const bool first = column->name == report.id_name;
    plan.obs.insert(first ? plan.obs.begin() : plan.obs.end(), i);
    plan.layout.obs.insert(first ? plan.layout.obs.begin() : plan.layout.obs.end(), *column);
  }
}

Plan make_plan(const CsvTable& table, const ImportReport& report, const ImportOptions& options) {
  Plan plan;
  plan.layout.n_rows = report.n_rows;
  plan.layout.is_wide = report.is_wide;
  plan.layout.roles.value = obs_name(options.value);
  plan.layout.roles.weight = obs_name(options.weight);
  for (std::size_t i = 0; i < report.columns.size(); ++i) {
    const ImportedColumn& column = report.columns[i];
    if (column.use == ColumnUse::ignore) continue;
    if (column.use == ColumnUse::outcome && !column.positive.empty()) {
      plan.layout.roles.outcomes.push_back(obs_name(column.name));
      plan.layout.roles.positives.push_back(column.kind == ColumnKind::number ? "" : column.positive);
    }
    plan.encoders.emplace_back(table, column, i, static_cast<std::int64_t>(plan.layout.columns.size()), options);
    const std::vector<FeatureColumn> features = plan.encoders.back().features();
    plan.layout.columns.insert(plan.layout.columns.end(), features.begin(), features.end());
  }
  plan_obs(plan, report);
  return plan;
}

template <class T>
void encode(Context& context, Plan& plan, std::span<const CsvBatch> batches, std::span<T> x) {
  for (ColumnEncoder& encoder : plan.encoders) encoder.make_room(count_rows(batches));
  context.parallel_for(std::ssize(batches), [&](std::int64_t i, int) {
    const CsvBatch& batch = batches[static_cast<std::size_t>(i)];
    const std::int64_t at = batch.first_row() - batches.front().first_row();
    for_each_stretch(batch, plan.encoders.size(), [&](std::int64_t first, std::int64_t last) {
      for (ColumnEncoder& encoder : plan.encoders)
        encoder.encode(batch, first, last, at + first, x.data(), std::ssize(plan.layout.columns));
    });
  });
}

template <class T>
void write_rows(Context& context, ImportRows& rows, Plan& plan, FeatureWriter& writer) {
  Reservation memory;
  std::vector<T> x;
  std::vector<std::int64_t> row_numbers;
  rows.rewind();
  for (auto batches = rows.next(); !batches.empty(); batches = rows.next()) {
    const std::int64_t first_row = batches.front().first_row(), n_rows = count_rows(batches);
    if (first_row + n_rows > plan.layout.n_rows) rows.table().refuse_changed(batches.back());
    const auto n_cells = static_cast<std::size_t>(n_rows * std::ssize(plan.layout.columns));
    if (n_cells > x.capacity()) {
      memory = context.memory().reserve("batches of imported rows", static_cast<std::int64_t>(n_cells * sizeof(T)));
      x = std::vector<T>(n_cells);
    }
    x.resize(n_cells);
    encode(context, plan, batches, std::span(x));
    std::vector<Cells> cells;
    if (plan.obs.size() < plan.layout.obs.size()) {
      row_numbers.resize(static_cast<std::size_t>(n_rows));
      std::iota(row_numbers.begin(), row_numbers.end(), first_row);
      cells.emplace_back(std::span<const std::int64_t>(row_numbers));
    }
    for (const std::size_t i : plan.obs) cells.push_back(plan.encoders[i].cells());
    writer.write(first_row, std::span<const T>(x), cells);
    context.report({"import", first_row + n_rows, plan.layout.n_rows});
  }
}

ImportReport make_report(const ImportOptions& options, const std::vector<std::string>& header, const std::vector<ColumnTally>& tallies,
                         const RowCounts& rows) {
  ImportReport report;
  report.n_rows = tallies.front().rows;
  report.rows = rows;
  if (report.n_rows == 0 && rows.read > 0)
    throw ContentsError(fmt::format("--erase and --max-age leave none of {} rows. Nothing was written.", rows.read));
  if (report.n_rows == 0) throw ContentsError("The CSV file has a header and no rows. Nothing was written.");
  report.columns = decide_columns(options, header, tallies);
  for (const ImportedColumn& column : report.columns) {
    const bool number = column.kind == ColumnKind::number && (column.use == ColumnUse::active || column.use == ColumnUse::profile);
    if (number && !column.fits_float32) report.is_wide = true;
    if (column.use == ColumnUse::id) report.id_name = obs_name(column.name);
  }
  report.ids_are_row_numbers = report.id_name.empty();
  if (report.ids_are_row_numbers) report.id_name = row_number_name(header);
  return report;
}

void count_features(ImportReport& report, const std::vector<ColumnTally>& tallies, const std::vector<FeatureColumn>& features) {
  for (const FeatureColumn& feature : features) ++(feature.role == Role::active ? report.n_active : report.n_profile);
  if (!features.empty()) return;
  const auto n_with_commas =
      std::count_if(tallies.begin(), tallies.end(), [](const ColumnTally& tally) { return tally.has_decimal_commas(); });
  throw ContentsError(
      fmt::format("No column of the CSV file can be a feature: all are ids, outcomes, codes, dates or text of many levels. Nothing was "
                  "written. {}",
                  n_with_commas > 0 ? fmt::format("In {} of them all cells are numbers with a decimal comma: --decimal ,", n_with_commas)
                                    : "Name columns in --active or --profile, or give --as-of for dates."));
}

}  // namespace

ImportReport import_csv(Context& context, const std::vector<std::filesystem::path>& paths, const std::filesystem::path& output,
                        const ImportOptions& options) {
  OutputRequest request;
  request.path = output;
  request.overwrite = options.overwrite;
  for (const std::filesystem::path& path : paths)
    if (path != "-") request.inputs.push_back(path);
  if (!options.erase.empty() && options.erase != "-") request.inputs.emplace_back(options.erase);
  AtomicOutput file(request);
  CsvTable table(context, paths, output.parent_path(), options.delimiter);
  check(options, table.header());
  ImportRows rows(context, table, options, output.parent_path());
  std::vector<ColumnTally> tallies = tally_columns(context, rows, options);
  ImportReport report = make_report(options, table.header(), tallies, rows.counts());
  Plan plan = make_plan(table, report, options);
  count_features(report, tallies, plan.layout.columns);
  tallies = {};  // whose levels take memory that the rows may need
  FeatureWriter writer(file, plan.layout, &context);
  if (report.is_wide) {
    write_rows<double>(context, rows, plan, writer);
  } else {
    write_rows<float>(context, rows, plan, writer);
  }
  writer.commit();
  return report;
}

}  // namespace coterie::io
