// The rows and tables of propensities in a result file of their own, and in one that a segmentation has begun.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "host/passes.hpp"
#include "io/atomic_output.hpp"
#include "io/h5ad_writer.hpp"
#include "tools/propensities.hpp"
#include "tools/propensity_rows.hpp"
#include "tools/result_output.hpp"

namespace coterie::tools {

// Bytes of a customer in the columns of so many targets, before compression: five numbers and three reasons each.
constexpr std::int64_t score_bytes(std::size_t n_targets) { return 64 * static_cast<std::int64_t>(n_targets); }

// Calls sink(first_row, cells) for every tile of `rows`: the columns of PropensityRows. `rows` carries labels where the models have
// segment effects, and lies where the backend wants it.
template <class Sink>
void map_propensities(Session& session, TileSource& rows, PropensityRows& columns, Sink&& sink) {
  const std::vector<const logistic_regression::Model*> fits = columns.fits();
  const auto predictor = session.backend().logistic_regression_predictor(kReasons);
  map_tiles(session.context(), rows, *predictor, std::span<const logistic_regression::Model* const>(fits),
            [&](std::int64_t first_row, const logistic_regression::Prediction& prediction) {
              sink(first_row, columns.cells(session.context(), prediction));
            },
            {.rows_at_once = prediction_rows(std::ssize(fits), kReasons)});
}

// Score columns into a file whose customers are already being written; none where nobody is scored. Customers of the file who are
// not among the chosen rows have no scores.
struct ScoreFile {
  io::H5adWriter& file;
  const RowSelection* selection;  // nullptr: every row is chosen
};
void append_scores(Session& session, const ScoreFile& to, TileSource& rows, const io::PropensityModels& models,
                   std::span<const std::int8_t> folds);  // as write_scores

// Targets scored inside the segments that a segmentation has just made: appended to its file, with the mean probability of each
// segment as a column of `table`, T_probability.
struct PropensityJob {
  const PropensityOptions& options;
  const SegmentLabels& segments;
};
void add_propensities(Session& session, Input& input, const PropensityJob& job, io::H5adWriter& file, io::DataFrame& table);

// A file of propensities alone: ids, propensity_split (fit or held-out), scores; and, where asked for, the same rows as CSV.
class PropensityOutput {
 public:
  // Everything that can be refused is refused here. read: another file that is read, which must not be overwritten ("": none).
  PropensityOutput(Context& context, const OutputOptions& options, const Input& input, std::size_t n_targets, const std::string& read);

  io::H5adWriter& file() { return file_; }
  void write(Session& session, Propensities& propensities, const io::DataFrame& goals);
  // Ids and scores alone; folds: (n_rows) of propensity_split, or empty for customers that had no part in a fit.
  void write_scores(Session& session, TileSource& rows, const io::PropensityModels& models, std::span<const std::int8_t> folds);
  void commit();

 private:
  const io::FeatureFile& input_;
  const RowSelection* selection_;
  io::OutputRequest request_;
  io::AtomicOutput output_;
  io::H5adWriter file_;
  std::optional<CsvOutput> csv_;
};

}  // namespace coterie::tools
