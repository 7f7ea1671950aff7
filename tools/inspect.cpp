// coterie inspect: what a file holds, and what will trouble a segmentation of it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "host/inspection.hpp"
#include "tools/clustering.hpp"
#include "tools/input.hpp"
#include "tools/table.hpp"
#include "tools/verbs.hpp"

namespace coterie::tools {

namespace {

struct InspectOptions {
  ResourceOptions resources;
  InputOptions input;
  bool json = false;
};

const char* type_name(ValueType type) {
  switch (type) {
    case ValueType::empty: return "empty";
    case ValueType::constant: return "constant";
    case ValueType::two_valued: return "two values";
    case ValueType::whole: return "whole numbers";
    case ValueType::real: return "numbers";
  }
  return "";
}

const char* advice_name(Advice advice) {
  switch (advice) {
    case Advice::keep: return "keep";
    case Advice::profile: return "--profile";
    case Advice::ignore: return "--ignore";
  }
  return "";
}

// The part of a column as the other verbs will take it.
const char* role_name(io::Role role) { return role == io::Role::active ? "active" : role == io::Role::profile ? "profile" : "ignore"; }

std::string number_text(double value) { return std::isfinite(value) ? short_number(value) : "-"; }

std::string columns_table(const Inspection& inspection, const Input& input) {
  Table table;
  for (const char* title : {"COLUMN", "ROLE", "VALUES"}) table.add_column(title, Align::left);
  for (const char* title : {"MISSING", "MIN", "MEDIAN", "MAX"}) table.add_column(title);
  for (const char* title : {"TRANSFORM", "FINDINGS"}) table.add_column(title, Align::left);
  for (std::size_t j = 0; j < inspection.columns.size(); ++j) {
    const ColumnHealth& column = inspection.columns[j];
    table.add_row({printable(column.name), role_name(input.columns()[j].role), type_name(column.type),
                   percent(static_cast<double>(column.missing) / static_cast<double>(inspection.n_rows)), number_text(column.min),
                   number_text(column.median), number_text(column.max), column.transform,
                   printable(fmt::format("{}", fmt::join(column.findings, "; ")))});
  }
  return table.text();
}

std::string summary(const Inspection& inspection, const Input& input) {
  std::string text = fmt::format("{} customers, {} columns, ids: {}\n", with_separators(inspection.n_rows), inspection.columns.size(),
                                 input.has_ids() ? input.file().id_name() : "row numbers");
  if (inspection.repeated_rows.rows > 0)
    text += fmt::format("{}{} rows repeat an earlier row in every column\n", inspection.repeated_rows.exact ? "" : "about ",
                        with_separators(inspection.repeated_rows.rows));
  std::vector<std::string> beside;
  for (const io::ObsColumn& column : input.file().obs())
    if (input.has_ids() || column.name != input.file().id_name()) beside.push_back(printable(column.name));
  if (!beside.empty()) text += fmt::format("Beside the matrix: {}\n", fmt::join(beside, ", "));
  return text + fmt::format("Clustering rows take {} of memory{}\n", format_bytes(inspection.resident_bytes),
                            inspection.fits_memory ? "" : ", more than the budget: every sweep will read the file");
}

nlohmann::ordered_json inspection_json(const Inspection& inspection, const Input& input) {
  const auto number = [](double value) { return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(); };
  nlohmann::ordered_json columns = nlohmann::ordered_json::array();
  for (std::size_t j = 0; j < inspection.columns.size(); ++j) {
    const ColumnHealth& column = inspection.columns[j];
    columns.push_back({{"name", column.name},
                       {"role", role_name(input.columns()[j].role)},
                       {"values", type_name(column.type)},
                       {"missing", column.missing},
                       {"infinite", column.infinite},
                       {"zero", column.zero},
                       {"negative", column.negative},
                       {"min", number(column.min)},
                       {"median", number(column.median)},
                       {"max", number(column.max)},
                       {"advice", advice_name(column.advice)},
                       {"transform", column.transform},
                       {"findings", column.findings}});
  }
  return {{"n_rows", inspection.n_rows},
          {"n_columns", inspection.columns.size()},
          {"id", input.has_ids() ? nlohmann::ordered_json(input.file().id_name()) : nlohmann::ordered_json()},
          {"repeated_ids", input.repeated_ids()},
          {"repeated_rows", inspection.repeated_rows.rows},
          {"clustering_bytes", inspection.resident_bytes},
          {"fits_memory", inspection.fits_memory},
          {"columns", columns}};
}

// The options that follow the advice, for the command line of `run`.
std::string advised_options(const Inspection& inspection) {
  std::string options;
  for (const Advice advice : {Advice::profile, Advice::ignore}) {
    std::vector<std::string> names;
    for (const ColumnHealth& column : inspection.columns)
      if (column.advice == advice) names.push_back(column.name);
    if (!names.empty()) options += fmt::format(" {} {}", advice_name(advice), fmt::join(names, ","));
  }
  return options;
}

void inspect_file(const InspectOptions& options) {
  Session session(options.resources);
  Input input(session, options.input);
  const Inspection inspection = inspect(session.context(), input.raw(), raw_columns(input.columns()));
  print(options.json ? json_line(inspection_json(inspection, input))
                     : summary(inspection, input) + '\n' + columns_table(inspection, input));
  session.say(fmt::format("Next: coterie run {} -o result.h5ad{}", options.input.path, advised_options(inspection)));
}

}  // namespace

Verb add_inspect(CLI::App& root) {
  CLI::App* app = add_verb(root, "inspect", "Show what a file holds and what will trouble a segmentation", "customers.h5ad");
  auto options = std::make_shared<InspectOptions>();
  add_input(*app, options->input);
  add_resources(*app, options->resources);
  add_json(*app, options->json);
  return {app, [options] { inspect_file(*options); }};
}

}  // namespace coterie::tools
