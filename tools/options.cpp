#include "tools/options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <map>

#include "host/contains.hpp"
#include "host/error.hpp"
#include "host/memory_ledger.hpp"

namespace coterie::tools {

template <class Number>
Number parse_number(std::string_view text, std::string_view option, Number low, Number high) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool in_range = error == std::errc{} && end == text.data() + text.size() && value >= low && value <= high;  // false for NaN
  if (!in_range)
    throw ArgumentError(fmt::format("{} {}: expected a {} from {} to {}. Nothing was read or written.", option, text,
                                    std::is_integral_v<Number> ? "whole number" : "number", low, high));
  return value;
}

std::vector<std::int32_t> parse_cluster_counts(std::string_view text, std::string_view option) {
  std::vector<std::int32_t> counts;
  const auto parse = [&](std::string_view part) { return parse_number<std::int32_t>(part, option, 1, kMaxClusters); };
  if (const auto colon = text.find(':'); colon != std::string_view::npos) {
    const auto second = text.find(':', colon + 1);
    const std::int32_t first = parse(text.substr(0, colon));
    const std::int32_t last = parse(text.substr(colon + 1, second == std::string_view::npos ? second : second - colon - 1));
    const std::int32_t step = second == std::string_view::npos ? 1 : parse(text.substr(second + 1));
    if (last < first) throw ArgumentError(fmt::format("{} {}: the range ends before it starts; write it as 2:12.", option, text));
    for (std::int64_t k = first; k <= last; k += step) counts.push_back(static_cast<std::int32_t>(k));
  } else {
    for (const std::string& part : CLI::detail::split(std::string(text), ',')) counts.push_back(parse(part));
    std::sort(counts.begin(), counts.end());
    counts.erase(std::unique(counts.begin(), counts.end()), counts.end());
  }
  return counts;
}

namespace {

// Number or optional<Number>.
template <class Number, class Target>
CLI::Option* add_number_to(CLI::App& app, const std::string& names, Target& value, Number low, Number high,
                           const std::string& description) {
  const std::string option = names.substr(names.find("--"), names.find(',', names.find("--")) - names.find("--"));
  const auto set = [&value, option, low, high](const std::string& text) { value = parse_number(text, option, low, high); };
  return app.add_option_function<std::string>(names, set, description);
}

}  // namespace

template <class Number>
CLI::Option* add_number(CLI::App& app, const std::string& names, Number& value, Number low, Number high, const std::string& description) {
  return add_number_to(app, names, value, low, high, description)->default_str(fmt::format("{}", value));
}

template <class Number>
CLI::Option* add_number(CLI::App& app, const std::string& names, std::optional<Number>& value, Number low, Number high,
                        const std::string& description) {
  return add_number_to(app, names, value, low, high, description);
}

template std::int32_t parse_number(std::string_view, std::string_view, std::int32_t, std::int32_t);
template CLI::Option* add_number(CLI::App&, const std::string&, std::int32_t&, std::int32_t, std::int32_t, const std::string&);
template CLI::Option* add_number(CLI::App&, const std::string&, std::int64_t&, std::int64_t, std::int64_t, const std::string&);
template CLI::Option* add_number(CLI::App&, const std::string&, std::uint64_t&, std::uint64_t, std::uint64_t, const std::string&);
template CLI::Option* add_number(CLI::App&, const std::string&, double&, double, double, const std::string&);
template CLI::Option* add_number(CLI::App&, const std::string&, std::optional<std::int32_t>&, std::int32_t, std::int32_t,
                                 const std::string&);
template CLI::Option* add_number(CLI::App&, const std::string&, std::optional<double>&, double, double, const std::string&);

namespace {

void add_bytes(CLI::App& app, const std::string& name, std::int64_t& bytes, const std::string& description) {
  const auto set = [&bytes, name](const std::string& text) { bytes = parse_bytes(text, name); };
  app.add_option_function<std::string>(name, set, description);
}

}  // namespace

void refuse_choice(const std::string& option, const std::string& text, const std::vector<std::string>& known) {
  throw ArgumentError(fmt::format("{} {}: expected one of {}.", option, text, fmt::join(known, ", ")));
}

CLI::App* add_verb(CLI::App& root, const std::string& name, const std::string& description, const std::string& example) {
  CLI::App* app = root.add_subcommand(name, description);
  app->fallthrough();  // --config and --print-config are accepted after the verb too
  app->footer("Example:\n  coterie " + name + " " + example);
  return app;
}

void add_device(CLI::App& app, ResourceOptions& options) {
  app.add_option("--device", options.device, "auto, cpu, cuda or cuda:I")->capture_default_str();
  add_bytes(app, "--gpu-memory", options.gpu_memory_bytes, "GPU memory budget, such as 8G; default: 90 % of what is free");
}

void add_resources(CLI::App& app, ResourceOptions& options) {
  add_number(app, "--threads", options.threads, 0, 4096, "Threads; 0 uses every core this process may use");
  add_bytes(app, "--memory", options.memory_bytes, "Memory budget, such as 512M or 8G; default: half of what is free");
  add_number(app, "--seed", options.seed, std::uint64_t{0}, std::numeric_limits<std::uint64_t>::max(), "Seed of every random choice");
}

void add_input_file(CLI::App& app, InputOptions& options) {
  app.add_option("FILE", options.path, "Customers: an AnnData .h5ad or another HDF5 file with a numeric matrix")->required();
  app.add_option("--x", options.layout.x, "Dataset of the matrix, where the file is no .h5ad");
  app.add_option("--ids", options.layout.ids, "Dataset of the customer ids");
  app.add_option("--names", options.layout.names, "Dataset of the column names");
  app.add_option("--where", options.where,
                 "Only customers who meet a condition, such as 'paying == 1 && (recency_days <= 365 || plan is missing)'");
  app.add_flag("--unique-ids", options.unique_ids, "Refuse repeated ids instead of warning");
}

void add_input(CLI::App& app, InputOptions& options) {
  add_input_file(app, options);
  app.add_option("--active", options.active, "Columns that drive the segments")->delimiter(',')->allow_extra_args(false);
  app.add_option("--profile", options.profile, "Columns that only describe the segments")->delimiter(',')->allow_extra_args(false);
  app.add_option("--ignore", options.ignore, "Columns that are not used")->delimiter(',')->allow_extra_args(false);
  app.add_option("--weight", options.weight, "Column with the weight of each customer; '': none, whatever the file declares");
  app.add_option("--outcome", options.outcomes, "Two-valued columns whose rate is shown per segment")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--value", options.value, "Column with the value of each customer, such as revenue; '': none");
  app.add_flag("--allow-sensitive", options.allow_sensitive,
               "Let columns marked as sensitive drive segments and propensities; otherwise they only describe segments");
}

void add_transform(CLI::App& app, TransformOptions& options) {
  add_choice<TransformKind>(app, "--transform", options.kind,
                            {{"auto", TransformKind::automatic},
                             {"none", TransformKind::none},
                             {"zscore", TransformKind::zscore},
                             {"log1p", TransformKind::log1p},
                             {"robust", TransformKind::robust}},
                            "How columns become comparable: auto, none, zscore, log1p or robust");
  add_choice<MissingPolicy>(app, "--missing", options.missing,
                            {{"auto", MissingPolicy::automatic},
                             {"error", MissingPolicy::error},
                             {"median", MissingPolicy::median},
                             {"mar", MissingPolicy::keep}},
                            "Missing cells: error, median, auto (error with --transform none, median otherwise), or mar: missing at "
                            "random, nothing filled in (gmm with diag or spherical covariances)");
}

CLI::Option* add_output(CLI::App& app, OutputOptions& options, const std::string& csv_description) {
  CLI::Option* output = app.add_option("-o,--output", options.path, "Result file (.h5ad)")->required();
  if (!csv_description.empty()) app.add_option("--csv", options.csv, csv_description);
  app.add_flag("--overwrite", options.overwrite, "Replace existing output files");
  return output;
}

void add_fit(CLI::App& app, FitOptions& options) {
  add_choice<Method>(app, "--method", options.method, {{"kmeans", Method::kmeans}, {"gmm", Method::gmm}},
                     "Clustering method: kmeans, or gmm, a Gaussian mixture");
  app.add_option(
      "--init", options.init,
      "Start. kmeans: k-means++ (default up to 100 segments), k-means|| (default beyond), mini-batch (fewer sweeps where segments stand "
      "apart), random, or FILE.h5:/dataset with centers in clustering units. gmm: kmeans (default), random, short-em (the likeliest of 10 "
      "random starts "
      "after 5 iterations on a sample), result.h5ad to go on from its model, or FILE.h5:/dataset with means");
  add_number(app, "--n-init", options.n_init, 1, 100000, "Restarts; the best one wins. Default: 10 for kmeans, 1 for gmm");
  add_number(app, "--max-iter", options.max_iter, 1, 1000000, "Iterations per restart. Default: 300 for kmeans, 100 for gmm");
  add_number(app, "--tol", options.tol, 0.0, 1e300,
             "kmeans: stop when the squared center shift is at most tol x mean column variance, default 1e-4. gmm: when the mean "
             "log-likelihood changes by less than tol, default 1e-3");
  const auto set_types = [&options](const std::vector<std::string>& names) {
    std::map<std::string, gaussian_mixture::CovarianceType> choices;
    for (const auto& [type, name] : gaussian_mixture::kCovarianceTypes) choices.emplace(name, type);
    options.covariance_types.clear();
    for (const std::string& name : names) options.covariance_types.push_back(choose(name, "--covariance-type", choices));
  };
  app.add_option_function<std::vector<std::string>>("--covariance-type", set_types,
                                                    "gmm: full (default), tied, diag or spherical; several for `sweep` and `run`")
      ->delimiter(',');
  add_number(app, "--reg-covar", options.reg_covar, 0.0, 1e300, "gmm: added to every variance, in clustering units. Default: 1e-6");
  add_number(app, "--covariance-floor", options.covariance_floor, 0.0, 1.0,
             "gmm: least eigenvalue of a covariance, in units of the columns' variances. Default: 1e-6");
}

void add_placement(CLI::App& app, PlacementOptions& options) {
  add_number(app, "--outlier-share", options.outlier_share, 0.0, 1.0,
             "gmm: mark this share of the customers, those of least likelihood, as outliers. Default: none");
  app.add_flag("--probabilities", options.probabilities, "gmm: write the probability of every segment for every customer");
}

void add_character(CLI::App& app, const std::string& name, char& value, const std::string& description) {
  const auto set = [&value, name](const std::string& text) {
    if (text.size() != 1 && text != "\\t") throw ArgumentError(fmt::format("{} {}: expected one character.", name, text));
    value = text.size() == 1 ? text.front() : '\t';
  };
  app.add_option_function<std::string>(name, set, description);
}

void add_json(CLI::App& app, bool& json) { app.add_flag("--json", json, "Print one JSON object instead of tables"); }

namespace {

void refuse_empty(const CLI::Option& option) {
  if (option.check_name("--weight") || option.check_name("--value")) return;  // nobody weighs, whatever the file declares
  const auto texts = option.count() > 0 ? option.results() : std::vector<std::string>{};
  if (contains(texts, ""))
    throw ArgumentError(fmt::format("{}: nothing is given to it. Leave it out, or give it something. Nothing was read or written.",
                                    option.get_name(option.get_positional())));
}

void refuse_config_as_output(const CLI::App& root, const CLI::App& verb) {
  const CLI::Option* config = root.get_config_ptr();
  if (config == nullptr || config->count() == 0) return;
  for (const char* name : {"--output", "--csv"}) {
    const CLI::Option* output = verb.get_option_no_throw(name);
    std::error_code ignored;  // what is not there yet is another file
    if (output == nullptr || output->count() == 0) continue;
    if (std::filesystem::equivalent(output->as<std::string>(), config->as<std::string>(), ignored))
      throw ArgumentError(fmt::format("{} and --config name the same file. Nothing was read or written; give each its own name.", name));
  }
}

}  // namespace

void check_given(const CLI::App& root, const CLI::App& verb) {
  for (const CLI::Option* option : verb.get_options())
    if (option->get_expected_min() > 0) refuse_empty(*option);
  refuse_config_as_output(root, verb);
}

void refuse_shared_stdout(bool json, const std::string& csv) {
  if (json && csv == "-") throw ArgumentError("--json and --csv -: both want standard output. Give the CSV a file name.");
}

}  // namespace coterie::tools
