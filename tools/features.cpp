// coterie features: from transactions to the file that every other verb reads.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/error.hpp"
#include "io/transactions.hpp"
#include "tools/options.hpp"
#include "tools/session.hpp"
#include "tools/table.hpp"
#include "tools/verbs.hpp"

namespace coterie::tools {

namespace {

struct FeaturesRequest {
  ResourceOptions resources;
  std::vector<std::string> paths;
  OutputOptions output;
  io::TransactionOptions transactions;
  bool json = false;
};

// "60" or "60d".
std::int64_t days(const std::string& text, const std::string& option) {
  constexpr std::int64_t kMost = 36500;  // a century
  return parse_number<std::int32_t>(text.ends_with('d') ? text.substr(0, text.size() - 1) : text, option, 1, kMost);
}

std::string report_json(const io::TransactionReport& report) {
  return json_line({{"rows", report.rows},
                    {"customers", report.customers},
                    {"left_out",
                     {{"without_id", report.without_id},
                      {"without_date", report.without_date},
                      {"without_amount", report.without_amount},
                      {"later", report.later},
                      {"no_purchase", report.no_purchase}}},
                    {"columns",
                     {{"id", report.id},
                      {"date", report.date},
                      {"amount", report.amount},
                      {"price", report.price},
                      {"quantity", report.quantity},
                      {"order", report.order}}},
                    {"outcome", report.outcome},
                    {"bought", report.bought},
                    {"features", report.features}});
}

std::string report_table(const io::TransactionReport& report) {
  Table table;
  table.add_column("PART", Align::left);
  table.add_column("COLUMN", Align::left);
  for (const auto& [part, column] : {std::pair<std::string, const std::string&>{"customer", report.id},
                                     {"day", report.date},
                                     {"amount", report.amount},
                                     {"price", report.price},
                                     {"quantity", report.quantity},
                                     {"order", report.order}})
    if (!column.empty()) table.add_row({part, printable(column)});
  if (report.order.empty()) table.add_row({"order", "(a customer's day)"});
  return table.text();
}

void say_what_happened(Session& session, const FeaturesRequest& request, const io::TransactionReport& report) {
  session.say(fmt::format("{} rows: {} without id, {} without day, {} without amount, {} too late; {} ids bought nothing up to {}",
                          with_separators(report.rows), with_separators(report.without_id), with_separators(report.without_date),
                          with_separators(report.without_amount), with_separators(report.later), with_separators(report.no_purchase),
                          request.transactions.as_of));
  if (report.disk_bytes > 0)
    session.say(fmt::format("the customers exceed --memory: their rows were sorted in temporary files of {} beside the output",
                            format_bytes(report.disk_bytes)));
  if (!report.outcome.empty())
    session.say(fmt::format("{}: {} of {} customers", report.outcome, with_separators(report.bought), with_separators(report.customers)));
  if (!report.window_is_complete && !report.outcome.empty())
    session.warn("the rows end before the target window does, so the outcome is not known in full: choose an earlier --as-of");
  session.say(fmt::format("{} customers, {} features: {}. Next: coterie run {} -o result.h5ad", with_separators(report.customers),
                          report.features.size(), request.output.path, request.output.path));
}

void features(FeaturesRequest request) {
  Session session(request.resources);
  request.transactions.overwrite = request.output.overwrite;
  const io::TransactionReport report =
      io::import_transactions(session.context(), {request.paths.begin(), request.paths.end()}, request.output.path, request.transactions);
  print(request.json ? report_json(report) : report_table(report));
  say_what_happened(session, request, report);
}

}  // namespace

Verb add_features(CLI::App& root) {
  CLI::App* app = add_verb(root, "features", "Turn transactions into features of customers",
                           "orders.csv --as-of 2026-10-31 --target-window 60d -o customers.h5ad");
  auto request = std::make_shared<FeaturesRequest>();
  io::TransactionOptions& options = request->transactions;
  app->add_option("FILES", request->paths, "CSV files with the same header, plain or gzip; - is standard input")->required();
  add_output(*app, request->output, "");
  app->add_option("--as-of", options.as_of, "Last day that features know, such as 2026-10-31")->required();
  app->add_option_function<std::string>(
      "--target-window", [request](const std::string& text) { request->transactions.target_window = days(text, "--target-window"); },
      "Days after --as-of, such as 60d: who buys in them is the outcome");
  app->add_option("--id", options.id, "Column with the customer ids");
  app->add_option("--date", options.date, "Column with the day of a row");
  app->add_option("--amount", options.amount, "Column with what a row came to");
  app->add_option("--price", options.price, "Column with the price of a piece, where there is no amount");
  app->add_option("--quantity", options.quantity, "Column with the pieces");
  app->add_option("--order", options.order, "Column that rows of one order share; without it, a customer's day is an order");
  app->add_option("--discount", options.discount, "Column that is above 0, or yes, for discounted rows");
  app->add_option("--share", options.shares, "Columns such as channel,category whose levels become shares of a customer's rows")
      ->delimiter(',')
      ->allow_extra_args(false);
  app->add_flag("--free-orders", options.free_orders, "Rows of amount 0 are purchases too");
  add_character(*app, "--delimiter", options.delimiter, "Between cells: , ; | or \\t; default: found out");
  add_character(*app, "--decimal", options.decimal, "Decimal sign: . (default) or ,");
  add_resources(*app, request->resources);
  add_json(*app, request->json);
  return {app, [request] { features(*request); }};
}

}  // namespace coterie::tools
