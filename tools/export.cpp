// coterie export: the tables of a result file as CSV.
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>

#include "host/error.hpp"
#include "io/propensity_file.hpp"
#include "io/result_file.hpp"
#include "io/result_reader.hpp"
#include "tools/result_output.hpp"
#include "tools/session.hpp"
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
                                 {"sweep", "uns/sweep"},
                                 {"goals", "uns/propensity/segment_goals"}};
constexpr const char* kTargetTables[] = {"coefficients", "evaluation", "gains",
                                         "calibration",  "reasons",    "segment_effects"};  // of TARGET/...
constexpr char kCustomers[] = "customers";

struct ExportOptions {
  std::string path;
  std::string csv = "-";
  std::string table = kCustomers;
  bool overwrite = false;
  ResourceOptions resources;
};

// The path behind --table; nothing for the customers.
std::optional<std::string> table_path(const std::string& table) {
  if (table == kCustomers) return std::nullopt;
  std::string known = kCustomers;
  for (const auto& [name, path] : kTables) {
    if (table == name) return path;
    known += std::string(", ") + name;
  }
  const auto slash = table.rfind('/');
  if (slash != std::string::npos &&
      std::find(std::begin(kTargetTables), std::end(kTargetTables), table.substr(slash + 1)) != std::end(kTargetTables))
    return io::target_path(table.substr(0, slash)) + table.substr(slash);
  throw ArgumentError(
      fmt::format("--table {}: expected one of {}, or TARGET/ and one of {}.", table, known, fmt::join(kTargetTables, ", ")));
}

void export_csv(const ExportOptions& options) {
  const std::optional<std::string> path = table_path(options.table);
  Session session(options.resources);
  const io::ResultReader reader(options.path, &session.context());
  if (path && !reader.contains(*path))
    throw ContentsError(fmt::format("file '{}' holds no table {} ({}). Nothing was written.", options.path, options.table, *path));
  CsvOutput output(options.csv, options.overwrite, {options.path});
  if (path)
    io::write_csv(output.writer(), reader.frame(*path));
  else
    write_customers(session.context(), reader, output.writer());
  output.commit();
}

}  // namespace

Verb add_export(CLI::App& root) {
  CLI::App* app = add_verb(root, "export", "Write a table of a result file as CSV", "result.h5ad --csv customers.csv");
  auto options = std::make_shared<ExportOptions>();
  app->add_option("FILE", options->path, "Result file of `cluster`, `run`, `assign`, `sweep` or `propensity`")->required();
  app->add_option("--csv", options->csv, "CSV file; - is standard output")->capture_default_str();
  app->add_option("--table", options->table,
                  "customers, segments, profile, levels, outcomes, values, columns, sweep or goals; TARGET/gains, TARGET/coefficients, "
                  "TARGET/evaluation, TARGET/calibration, TARGET/reasons or TARGET/segment_effects of a propensity")
      ->capture_default_str();
  app->add_flag("--overwrite", options->overwrite, "Replace an existing CSV file");
  add_resources(*app, options->resources);
  return {app, [options] { export_csv(*options); }};
}

}  // namespace coterie::tools
