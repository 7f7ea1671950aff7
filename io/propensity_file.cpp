#include "io/propensity_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "host/error.hpp"
#include "io/hdf5.hpp"
#include "io/result_file.hpp"
#include "io/stored_fields.hpp"
#include "io/text.hpp"
#include "io/transform_record.hpp"

namespace coterie::io {
namespace {

using calibration::Method;
using logistic_regression::Penalty;

constexpr char kPredictors[] = "uns/propensity/predictors";
constexpr char kTargets[] = "uns/propensity/targets";
constexpr std::int64_t kFormatVersion = 1;
constexpr std::array<std::pair<Penalty, const char*>, 3> kPenalties = {
    {{Penalty::none, "none"}, {Penalty::l2, "l2"}, {Penalty::firth, "firth"}}};
constexpr std::array<std::pair<Method, const char*>, 3> kMethods = {
    {{Method::none, "none"}, {Method::platt, "platt"}, {Method::isotonic, "isotonic"}}};

template <class Entries, class Enum>
std::string name_of(const Entries& entries, Enum value) {
  return std::find_if(entries.begin(), entries.end(), [&](const auto& entry) { return entry.first == value; })->second;
}

template <class Entries>
auto named(const StoredFields& fields, const std::string& field, const Entries& entries) {
  const auto name = fields.get<std::string>(field);
  for (const auto& [value, known] : entries)
    if (name == known) return value;
  fields.refuse(field, "this program does not know " + shown(name));
}

void write_target(H5adWriter& file, const StoredTarget& target) {
  const std::string root = target_path(target.name) + "/model";
  const auto write = [&](const std::string& field, const Value& value) { file.write_value(root + "/" + field, value); };
  write("positive", target.positive);
  write("penalty", name_of(kPenalties, target.model.penalty));
  write("C", target.C);
  write("coef", target.model.coefficients);
  write("center", target.model.center);
  write("at_center", target.model.at_center);
  write("intercept", target.model.intercept());
  write("segment_names", target.segment_names);
  write("segment_effects", target.model.segment_effects);
  write("calibration_method", name_of(kMethods, target.calibrator.method));
  write("calibration_intercept", target.calibrator.intercept);
  write("calibration_slope", target.calibrator.slope);
  write("isotonic_scores", target.calibrator.scores);
  write("isotonic_probabilities", target.calibrator.probabilities);
  write("percentile_cuts", target.percentile_cuts);
  write("base_rate", target.base_rate);
  write("events", target.events);
  write("min_events", target.min_events);
}

std::vector<double> finite_list(const StoredFields& fields, const std::string& field, std::int64_t length) {
  std::vector<double> values = fields.list<double>(field, length);
  if (!std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); }))
    fields.refuse(field, "an entry is not finite");
  return values;
}

calibration::Calibrator read_calibrator(const StoredFields& fields) {
  calibration::Calibrator calibrator;
  calibrator.method = named(fields, "calibration_method", kMethods);
  calibrator.intercept = fields.finite("calibration_intercept");
  calibrator.slope = fields.finite("calibration_slope");
  if (calibrator.method != Method::isotonic) return calibrator;
  calibrator.scores = fields.get<std::vector<double>>("isotonic_scores");
  calibrator.probabilities = finite_list(fields, "isotonic_probabilities", std::ssize(calibrator.scores));
  if (calibrator.scores.empty() || !std::is_sorted(calibrator.scores.begin(), calibrator.scores.end()))
    fields.refuse("isotonic_scores", "they are no ascending list");
  const auto& probabilities = calibrator.probabilities;
  if (!std::is_sorted(probabilities.begin(), probabilities.end()) || probabilities.front() <= 0 || probabilities.back() >= 1)
    fields.refuse("isotonic_probabilities", "they are no ascending list between 0 and 1");
  return calibrator;
}

StoredTarget read_target(std::shared_ptr<const InputFile> file, const std::string& name, std::int32_t n_columns) {
  const StoredFields fields(std::move(file), target_path(name) + "/model");
  StoredTarget target{.name = name, .positive = fields.get<std::string>("positive")};
  target.model.n_columns = n_columns;
  target.model.penalty = named(fields, "penalty", kPenalties);
  target.C = fields.finite("C");
  target.model.coefficients = finite_list(fields, "coef", n_columns);
  target.model.center = finite_list(fields, "center", n_columns);
  target.model.at_center = fields.finite("at_center");
  target.segment_names = fields.get<std::vector<std::string>>("segment_names");
  target.model.segment_effects = finite_list(fields, "segment_effects", std::ssize(target.segment_names));
  target.model.settled = true;
  target.calibrator = read_calibrator(fields);
  target.percentile_cuts = fields.list<double>("percentile_cuts", kPercentiles - 1);
  if (!std::is_sorted(target.percentile_cuts.begin(), target.percentile_cuts.end())) fields.refuse("percentile_cuts", "they do not ascend");
  target.base_rate = fields.finite("base_rate");
  if (!(target.base_rate > 0 && target.base_rate < 1)) fields.refuse("base_rate", "it is not between 0 and 1");
  target.events = fields.count("events", 0);
  target.min_events = fields.count("min_events", 0);
  return target;
}

}  // namespace

std::string target_path(const std::string& target) { return std::string(kTargets) + "/" + target; }

void write_propensities(H5adWriter& file, const PropensityModels& models) {
  const std::string root = std::string(kPredictors) + "/";
  std::vector<std::string> names, onehot_of, targets;
  for (const PredictorColumn& column : models.raw_columns) {
    names.push_back(column.name);
    onehot_of.push_back(column.onehot_of);
  }
  for (const StoredTarget& target : models.targets) targets.push_back(target.name);
  file.write_value(root + "format_version", kFormatVersion);
  file.write_value(root + "seed", std::bit_cast<std::int64_t>(models.seed));
  if (!models.where.empty()) file.write_value(root + "where", models.where);
  file.write_value(root + "raw_columns", names);
  file.write_value(root + "onehot_of", onehot_of);
  file.write_value(root + "targets", targets);
  write_transform(file, kPredictors, models.transform);
  for (const StoredTarget& target : models.targets) write_target(file, target);
}

bool has_propensities(const std::filesystem::path& path) { return hdf5::is_group(InputFile::open(path)->id(), kPredictors); }

PropensityModels read_propensities(const std::filesystem::path& path) {
  auto file = InputFile::open(path);
  check_schema(*file, kResultSchema, kResultSchemaVersion);
  if (!hdf5::is_group(file->id(), kPredictors))
    throw InputError(
        fmt::format("file '{}': it holds no model to score customers with; give the result of `coterie propensity`. Nothing was written",
                    path.string()));
  const StoredFields fields(file, kPredictors);
  if (const auto version = fields.get<std::int64_t>("format_version"); version != kFormatVersion)
    throw InputError(
        fmt::format("file '{}', '/{}': the model is of format {}, and this program reads {}; use the version of coterie that "
                    "has written it. Nothing was written",
                    path.string(), fields.path("format_version"), version, kFormatVersion));
  PropensityModels models;
  models.seed = std::bit_cast<std::uint64_t>(fields.get<std::int64_t>("seed"));
  if (fields.contains("where")) models.where = fields.get<std::string>("where");
  const std::vector<std::string> names = fields.unique_names("raw_columns");
  const auto onehot_of = fields.list<std::string>("onehot_of", std::ssize(names));
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!onehot_of[i].empty() && !names[i].starts_with(onehot_of[i] + "="))
      fields.refuse("onehot_of", fmt::format("entry {} does not fit its column", i));
    models.raw_columns.push_back({names[i], onehot_of[i]});
  }
  const std::int64_t n_columns = std::ssize(fields.frame("transform").index);
  models.transform = read_transform(fields, n_columns, std::ssize(names));
  for (const std::string& target : fields.unique_names("targets"))
    models.targets.push_back(read_target(file, target, static_cast<std::int32_t>(n_columns)));
  return models;
}

}  // namespace coterie::io
