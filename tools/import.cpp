// coterie import: CSV to the file that every other verb reads.
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "host/error.hpp"
#include "io/csv_import.hpp"
#include "tools/options.hpp"
#include "tools/session.hpp"
#include "tools/table.hpp"
#include "tools/verbs.hpp"

namespace coterie::tools {

namespace {

struct ImportRequest {
  ResourceOptions resources;
  std::vector<std::string> paths;
  OutputOptions output;
  io::ImportOptions import;
  bool json = false;
};

std::string report_json(const io::ImportReport& report) {
  nlohmann::ordered_json columns = nlohmann::ordered_json::array();
  for (const io::ImportedColumn& column : report.columns)
    columns.push_back({{"name", column.name},
                       {"kind", to_string(column.kind)},
                       {"use", to_string(column.use)},
                       {"reason", column.reason},
                       {"missing", column.missing},
                       {"warning", column.warning}});
  return nlohmann::ordered_json{{"rows", report.n_rows}, {"active", report.n_active}, {"profile", report.n_profile}, {"columns", columns}}
             .dump() +
         '\n';
}

std::string report_table(const io::ImportReport& report) {
  Table table;
  for (const char* title : {"COLUMN", "USE", "KIND"}) table.add_column(title, Align::left);
  table.add_column("MISSING");
  table.add_column("WHY", Align::left);
  for (const io::ImportedColumn& column : report.columns)
    table.add_row({printable(column.name), std::string(to_string(column.use)), std::string(to_string(column.kind)),
                   with_separators(column.missing), printable((column.warning ? "! " : "") + column.reason)});
  return table.text();
}

// "churn=Yes" -> the column and the level that counts as 1.
io::ImportOptions::Outcome outcome(const std::string& text) {
  const auto equals = text.find('=');
  if (equals == std::string::npos) return {text, ""};
  return {text.substr(0, equals), text.substr(equals + 1)};
}

void add_character(CLI::App& app, const std::string& name, char& value, const std::string& description) {
  const auto set = [&value, name](const std::string& text) {
    if (text.size() != 1 && text != "\\t") throw ArgumentError(fmt::format("{} {}: expected one character.", name, text));
    value = text.size() == 1 ? text.front() : '\t';
  };
  app.add_option_function<std::string>(name, set, description);
}

void import(ImportRequest request) {
  Session session(request.resources);
  request.import.overwrite = request.output.overwrite;
  const io::ImportReport report =
      io::import_csv(session.context(), {request.paths.begin(), request.paths.end()}, request.output.path, request.import);
  print(request.json ? report_json(report) : report_table(report));
  session.say(fmt::format("{} customers, {} active and {} profile columns, ids from {}: {}. Next: coterie run {} -o result.h5ad",
                          with_separators(report.n_rows), report.n_active, report.n_profile,
                          report.ids_are_row_numbers ? "row numbers" : report.id_name, request.output.path, request.output.path));
}

}  // namespace

Verb add_import(CLI::App& root) {
  CLI::App* app = add_verb(root, "import", "Turn CSV into the file that the other verbs read",
                           "customers.csv -o customers.h5ad --id customer_id --outcome churn=Yes --value revenue");
  auto request = std::make_shared<ImportRequest>();
  io::ImportOptions& import_options = request->import;
  app->add_option("FILES", request->paths, "CSV files with the same header, plain or gzip; - is standard input")->required();
  add_output(*app, request->output, "");
  app->add_option("--id", import_options.id, "Column with the customer ids");
  const auto set_outcomes = [request](const std::vector<std::string>& texts) {
    for (const std::string& text : texts) request->import.outcomes.push_back(outcome(text));
  };
  app->add_option_function<std::vector<std::string>>("--outcome", set_outcomes, "Columns with what customers did: NAME or NAME=LEVEL")
      ->delimiter(',');
  app->add_option("--positive", import_options.positive, "The level of an outcome that counts as 1");
  app->add_option("--value", import_options.value, "Column with the value of each customer, such as revenue");
  app->add_option("--weight", import_options.weight, "Column with the weight of each customer");
  app->add_option("--active", import_options.active, "Columns that drive the segments")->delimiter(',');
  app->add_option("--profile", import_options.profile, "Columns that only describe the segments")->delimiter(',');
  app->add_option("--ignore", import_options.ignore, "Columns that are not used")->delimiter(',');
  app->add_option("--as-of", import_options.as_of, "Day such as 2026-10-31: dates become days before it");
  add_character(*app, "--delimiter", import_options.delimiter, "Between cells: , ; | or \\t; default: found out");
  add_character(*app, "--decimal", import_options.decimal, "Decimal sign: . (default) or ,");
  add_resources(*app, request->resources);
  add_json(*app, request->json);
  return {app, [request] { import(*request); }};
}

}  // namespace coterie::tools
