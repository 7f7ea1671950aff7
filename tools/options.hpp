// Options that several verbs share, each with one name, one meaning and one check.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/gaussian_mixture.hpp"
#include "host/transform.hpp"
#include "io/feature_file.hpp"

namespace coterie::tools {

// --device --gpu-memory --threads --memory --seed
struct ResourceOptions {
  std::string device = "auto";
  std::int32_t threads = 0;           // 0: every core this process may use
  std::int64_t memory_bytes = 0;      // 0: half of what is free
  std::int64_t gpu_memory_bytes = 0;  // 0: nine tenths of what is free
  std::uint64_t seed = 0;
};

// FILE --x --ids --names --where --active --profile --ignore --weight --outcome --value --allow-sensitive
struct InputOptions {
  std::string path;
  io::FeatureFileOptions layout;
  std::vector<std::string> active, profile, ignore;  // column names whose role is set here instead of by the file
  std::optional<std::string> weight, value;          // obs columns; an empty name means none
  std::vector<std::string> outcomes;
  std::string where;             // condition (host/row_filter.hpp); "": everybody
  bool unique_ids = false;       // repeated ids are an error rather than a warning
  bool allow_sensitive = false;  // columns of var/sensitive may be active
};

// -o --csv --overwrite
struct OutputOptions {
  std::string path;
  std::string csv;
  bool overwrite = false;
};

enum class Method { kmeans, gmm };

// --method --n-init --max-iter --tol --init --covariance-type --reg-covar --covariance-floor; without a value where the
// option was not given: defaults differ by method, and the last three are for gmm only (fit_plan.hpp).
struct FitOptions {
  Method method = Method::kmeans;
  std::optional<std::string> init;
  std::optional<std::int32_t> n_init, max_iter;
  std::optional<double> tol;
  std::vector<gaussian_mixture::CovarianceType> covariance_types;
  std::optional<double> reg_covar, covariance_floor;
};

// --outlier-share --probabilities: what a mixture tells about customers beyond their segments.
struct PlacementOptions {
  std::optional<double> outlier_share;
  bool probabilities = false;
};

inline constexpr std::int32_t kMaxClusters = 1 << 20;  // labels are int32; more segments than this is a typing error

// Reads the whole text as a number within [low, high], or throws the ArgumentError that names `option`.
template <class Number>
Number parse_number(std::string_view text, std::string_view option, Number low, Number high);
// "2:12", "2:50:4" (step) or "3,5,8" -> ascending numbers of segments without repeats.
std::vector<std::int32_t> parse_cluster_counts(std::string_view text, std::string_view option);

// A numeric option whose help shows the default and whose errors name the option and its range.
template <class Number>
CLI::Option* add_number(CLI::App& app, const std::string& names, Number& value, Number low, Number high, const std::string& description);
// The same without a default of its own; the description tells what happens without it.
template <class Number>
CLI::Option* add_number(CLI::App& app, const std::string& names, std::optional<Number>& value, Number low, Number high,
                        const std::string& description);

[[noreturn]] void refuse_choice(const std::string& option, const std::string& text, const std::vector<std::string>& known);

// The choice that `text` names, or the ArgumentError that lists them.
template <class Enum>
Enum choose(const std::string& text, const std::string& option, const std::map<std::string, Enum>& choices) {
  if (const auto found = choices.find(text); found != choices.end()) return found->second;
  std::vector<std::string> known;
  for (const auto& [choice, ignored] : choices) known.push_back(choice);
  refuse_choice(option, text, known);
}

// One of a few words, of which one stands for the value that there is.
template <class Enum>
void add_choice(CLI::App& app, const std::string& name, Enum& value, const std::map<std::string, Enum>& choices,
                const std::string& description) {
  const auto set = [&value, name, choices](const std::string& text) { value = choose(text, name, choices); };
  const auto preset = std::find_if(choices.begin(), choices.end(), [&](const auto& choice) { return choice.second == value; });
  app.add_option_function<std::string>(name, set, description)->default_str(preset->first);
}

// A subcommand with one example line, shown by --help.
CLI::App* add_verb(CLI::App& root, const std::string& name, const std::string& description, const std::string& example);
void add_device(CLI::App& app, ResourceOptions& options);     // --device --gpu-memory
void add_resources(CLI::App& app, ResourceOptions& options);  // --threads --memory --seed
void add_input_file(CLI::App& app, InputOptions& options);    // FILE --x --ids --names --where --unique-ids
void add_input(CLI::App& app, InputOptions& options);         // and the roles of columns
void add_transform(CLI::App& app, TransformOptions& options);
// Returns --output, which is required. No --csv where csv_description is empty.
CLI::Option* add_output(CLI::App& app, OutputOptions& options, const std::string& csv_description);
void add_fit(CLI::App& app, FitOptions& options);
void add_placement(CLI::App& app, PlacementOptions& options);
// A single character, or \\t.
void add_character(CLI::App& app, const std::string& name, char& value, const std::string& description);
void add_json(CLI::App& app, bool& json);
// What no option of a parsed verb takes, from the command line or from --config: ArgumentError for an empty text (but of --weight and
// --value), which would pass for an option that was not given, and for an output that is the --config file.
void check_given(const CLI::App& root, const CLI::App& verb);
// ArgumentError when both the JSON object and the CSV want standard output.
void refuse_shared_stdout(bool json, const std::string& csv);

}  // namespace coterie::tools
