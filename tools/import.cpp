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
  const io::RowCounts& rows = report.rows;
  return json_line({{"rows", report.n_rows},
                    {"active", report.n_active},
                    {"profile", report.n_profile},
                    {"left_out", {{"read", rows.read}, {"erased", rows.erased}, {"stale", rows.stale}, {"repeated", rows.repeated}}},
                    {"columns", columns}});
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

// What became of the rows that are no customers, and of the ids to erase.
void say_what_was_left_out(Session& session, const io::ImportOptions& options, const io::RowCounts& rows) {
  using OnDuplicate = io::ImportOptions::OnDuplicate;
  if (!options.erase.empty())
    session.say(fmt::format("Erased: {} rows, for {} ids in the list.", with_separators(rows.erased), with_separators(rows.erase_ids)));
  if (options.max_age >= 0)
    session.say(fmt::format("Last active more than {} days before {}: {} rows, left out; {} without a day stay.", options.max_age,
                            options.as_of, with_separators(rows.stale), with_separators(rows.undated)));
  if (rows.repeated > 0)
    session.say(fmt::format("Repeated ids: {} rows {} another row of the same id.", with_separators(rows.repeated),
                            options.on_duplicate == OnDuplicate::sum ? "added to" : "dropped for"));
}

io::ImportOptions::OnDuplicate on_duplicate(const std::string& text) {
  using OnDuplicate = io::ImportOptions::OnDuplicate;
  const std::vector<std::pair<std::string, OnDuplicate>> choices{
      {"error", OnDuplicate::error}, {"first", OnDuplicate::first}, {"last", OnDuplicate::last}, {"sum", OnDuplicate::sum}};
  for (const auto& [name, choice] : choices)
    if (text == name) return choice;
  throw ArgumentError(fmt::format("--on-duplicate {}: expected error, first, last or sum.", text));
}

void import(ImportRequest request) {
  Session session(request.resources);
  request.import.overwrite = request.output.overwrite;
  const io::ImportReport report =
      io::import_csv(session.context(), {request.paths.begin(), request.paths.end()}, request.output.path, request.import);
  print(request.json ? report_json(report) : report_table(report));
  say_what_was_left_out(session, request.import, report.rows);
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
      ->delimiter(',')
      ->allow_extra_args(false);
  app->add_option("--positive", import_options.positive, "The level of an outcome that counts as 1");
  app->add_option("--value", import_options.value, "Column with the value of each customer, such as revenue");
  app->add_option("--weight", import_options.weight, "Column with the weight of each customer");
  app->add_option("--active", import_options.active, "Columns that drive the segments")->delimiter(',')->allow_extra_args(false);
  app->add_option("--profile", import_options.profile, "Columns that only describe the segments")->delimiter(',')->allow_extra_args(false);
  app->add_option("--ignore", import_options.ignore, "Columns that are not used")->delimiter(',')->allow_extra_args(false);
  app->add_option("--sensitive", import_options.sensitive,
                  "Columns such as age or gender that describe segments and drive none, unless --allow-sensitive is given there")
      ->delimiter(',')
      ->allow_extra_args(false);
  const auto set_layers = [request](const std::vector<std::string>& texts) {
    std::string layer;
    for (const std::string& text : texts) {
      const auto [name, column] = outcome(text);
      if (!column.empty()) layer = name;
      if (layer.empty()) throw ArgumentError(fmt::format("--layer {}: expected NAME=COLUMN,COLUMN.", text));
      request->import.layers[layer].push_back(column.empty() ? name : column);
    }
  };
  app->add_option_function<std::vector<std::string>>(
         "--layer", set_layers, "NAME=COLUMN,COLUMN: columns that belong together; layers count alike however many columns they have")
      ->delimiter(',')
      ->allow_extra_args(false);
  app->add_option("--as-of", import_options.as_of, "Day such as 2026-10-31: dates become days before it");
  app->add_option_function<std::string>(
      "--on-duplicate", [request](const std::string& text) { request->import.on_duplicate = on_duplicate(text); },
      "Rows with the same id: error, first, last, or sum (adds numbers up); default: all stay, with a warning");
  app->add_option("--erase", import_options.erase, "CSV with the ids of customers to leave out");
  add_number<std::int64_t>(*app, "--max-age", import_options.max_age, 0, 1 << 20,
                           "Leave out customers whose --activity lies more days before --as-of")
      ->default_str("");
  app->add_option("--activity", import_options.activity, "Column with the day of the last activity, for --max-age");
  add_character(*app, "--delimiter", import_options.delimiter, "Between cells: , ; | or \\t; default: found out");
  add_character(*app, "--decimal", import_options.decimal, "Decimal sign: . (default) or ,");
  add_resources(*app, request->resources);
  add_json(*app, request->json);
  return {app, [request] { import(*request); }};
}

}  // namespace coterie::tools
