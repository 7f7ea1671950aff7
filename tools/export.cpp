// coterie export: the tables of a result file as CSV.
#include <fmt/format.h>

#include <algorithm>

#include "host/error.hpp"
#include "io/result_file.hpp"
#include "io/result_reader.hpp"
#include "tools/result_output.hpp"
#include "tools/verbs.hpp"

namespace coterie::tools {

namespace {

// What --table names, and where it lies in the file; the customers are the obs columns.
struct TablePath {
  const char* name;
  const char* path;
};
constexpr TablePath kTables[] = {{"segments", "uns/segmentation/segments"},
                                 {"profile", "uns/segmentation/profile_table"},
                                 {"levels", "uns/segmentation/levels"},
                                 {"outcomes", "uns/segmentation/outcomes"},
                                 {"values", "uns/segmentation/values"},
                                 {"columns", "var"},
                                 {"sweep", "uns/sweep"}};
constexpr char kCustomers[] = "customers";

struct ExportOptions {
  std::string path;
  std::string csv = "-";
  std::string table = kCustomers;
  bool overwrite = false;
};

void export_customers(const io::ResultReader& reader, io::CsvWriter& csv) {
  constexpr std::int64_t kRowsAtOnce = 1 << 16;  // the chunk of the file
  const std::vector<io::RowColumn>& columns = reader.columns();
  io::write_csv_header(csv, columns);
  for (std::int64_t row = 0; row < reader.n_rows(); row += kRowsAtOnce) {
    std::vector<io::ColumnCells> owned;
    std::vector<io::Cells> cells;
    for (const io::RowColumn& column : columns) owned.push_back(reader.rows(column, row, std::min(kRowsAtOnce, reader.n_rows() - row)));
    for (const io::ColumnCells& column : owned) cells.push_back(io::view(column));
    io::write_csv_rows(csv, columns, cells);
  }
}

// The path behind --table; nullptr for the customers.
const char* table_path(const std::string& table) {
  if (table == kCustomers) return nullptr;
  std::string known = kCustomers;
  for (const auto& [name, path] : kTables) {
    if (table == name) return path;
    known += std::string(", ") + name;
  }
  throw ArgumentError(fmt::format("--table {}: expected one of {}.", table, known));
}

void export_csv(const ExportOptions& options) {
  const char* path = table_path(options.table);
  const io::ResultReader reader(options.path);
  if (path != nullptr && !reader.contains(path))
    throw ContentsError(fmt::format("file '{}' holds no table {} ({}). Nothing was written.", options.path, options.table, path));
  CsvOutput output(options.csv, options.overwrite, options.path);
  if (path == nullptr)
    export_customers(reader, output.writer());
  else
    io::write_csv(output.writer(), reader.frame(path));
  output.commit();
}

}  // namespace

Verb add_export(CLI::App& root) {
  CLI::App* app = add_verb(root, "export", "Write a table of a result file as CSV", "result.h5ad --csv customers.csv");
  auto options = std::make_shared<ExportOptions>();
  app->add_option("FILE", options->path, "Result file of `cluster`, `run`, `assign` or `sweep`")->required();
  app->add_option("--csv", options->csv, "CSV file; - is standard output")->capture_default_str();
  app->add_option("--table", options->table, "customers, segments, profile, levels, outcomes, values, columns or sweep")
      ->capture_default_str();
  app->add_flag("--overwrite", options->overwrite, "Replace an existing CSV file");
  return {app, [options] { export_csv(*options); }};
}

}  // namespace coterie::tools
