// From raw columns to clustering units. Every clustering value lies on a grid: the last step of every transform rounds
// to a multiple of step = 2^(e-23) with 2^e >= max|x| of the column, so a value is a float32 *and* an integer of at
// most 2^23 steps, and sums of values are exact in any order. All arithmetic is + - * / sqrt in double, without fused
// multiply-add and without libm, so that every instruction set and device gives the same bits.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "host/context.hpp"
#include "host/statistics.hpp"
#include "host/tile_source.hpp"

namespace coterie {

// Every kind but none drops columns with one value; automatic replaces columns with over 30 % missing cells by an
// `answered` indicator, unless MissingPolicy::median or keep is asked for.
enum class TransformKind {
  none,       // values as they are, on the grid; missing cells are an error
  zscore,     // (x - mean) / standard deviation (n - 1)
  log1p,      // log(1 + x) of the columns without negative values, then as zscore
  robust,     // (x - median) / interquartile range * 1.349 (as wide as a z-score for normal data)
  automatic,  // per column: log1p for heavy tails without negative values, winsorise, zscore or robust
};
// automatic: error with `none`, median otherwise; keep: missing cells stay missing in the clustering rows, for mixtures that
// take them as missing at random.
enum class MissingPolicy { automatic, error, median, keep };

// value -> answered ? (known ? 1 : 0) : (log1p?(clamp(known ? x : fill, lower, upper)) - center) / scale, on the grid.
// Of other rows than those of the fit a value that lies beyond 2^23 steps is the nearest float32, again a multiple of the step, and with
// log1p one below 0 is a 0.
struct ColumnTransform {
  std::int32_t source = 0;  // raw column
  bool answered = false;    // an indicator column made of "is this cell known"
  bool log1p = false;
  double lower = -std::numeric_limits<double>::infinity();  // winsorising bounds, raw units
  double upper = std::numeric_limits<double>::infinity();
  double fill = std::numeric_limits<double>::quiet_NaN();  // raw value that stands for a missing cell
  double center = 0;
  double scale = 1;
  double step = 1;  // the grid of this column, a power of two
  bool operator==(const ColumnTransform&) const = default;
};

struct Transform {
  TransformKind kind = TransformKind::automatic;
  std::vector<ColumnTransform> columns;  // (n_columns) of the transformed source
  std::vector<std::string> names;        // (n_columns) raw name, or "<raw name> answered"
  bool keep_missing = false;             // missing cells become NaN, and not the fill value

  std::vector<double> steps() const;  // (n_columns)
};

// What the choice of a transform wants to be told about a raw column, and what it answers.
struct RawColumn {
  std::string name;
  bool active = true;                 // drives clusters; false: the column is surveyed but never chosen
  std::string layer = {};             // columns of one layer belong together, "" where there is none; see layer_weights.hpp
  std::optional<double> weight = {};  // how much it counts; nothing: as its layer says
};
struct TransformOptions {
  TransformKind kind = TransformKind::automatic;
  MissingPolicy missing = MissingPolicy::automatic;
};
struct ColumnNote {
  std::int32_t source;   // raw column
  std::string decision;  // one clause for the analyst: "log1p, winsorised at the 0.1 % and 99.9 % quantile, z-score"
  bool warning = false;  // dropped, moved to profile, or a grid step above 1e-3 of the interquartile range
};
struct ChosenTransform {
  Transform transform;
  std::vector<ColumnNote> notes;
  std::vector<std::int32_t> moved_to_profile;  // raw columns with more than 30 % missing
};

// The first sweep: exact counts and extremes of every raw column, and a sample for quantiles whose rows depend on the
// seed and on (n_rows, n_columns) only.
struct ColumnSurvey {
  std::int64_t n_rows = 0;
  std::vector<std::int64_t> missing;     // (n_columns) NaN cells
  std::vector<std::int64_t> infinite;    // (n_columns) cells that are infinite or beyond float32
  std::vector<std::int64_t> zero;        // (n_columns)
  std::vector<std::int64_t> negative;    // (n_columns) of known, finite cells
  std::vector<std::int64_t> fractional;  // (n_columns) cells that are no whole number
  std::vector<double> min, max;          // (n_columns) of known, finite cells; +inf, -inf where there is none
  FirstRows sample;                      // rows as they are: one float per cell, or two with the bytes of a double when `raw` is wide
  FirstRows first_missing;               // the first missing cells of active columns: key = row * n_columns + column, no values
  FirstRows first_infinite;              // likewise the first infinite cells
  Reservation sample_memory;             // what the ledger lends for the sample
  void for_each_field(FieldVisitor& visitor);
  double cell_of(std::span<const float> row, std::int32_t column) const;  // of a row of the sample, as it is
  double sampled_cell(std::int64_t i, std::int32_t column) const { return cell_of(sample.values(i), column); }  // of the i-th row
  std::vector<double> sampled(std::int32_t column) const;  // known, finite sample values of a raw column, in no order
};
// `columns` says which raw columns are active for first_missing and first_infinite; empty: all of them.
ColumnSurvey survey_columns(Context& context, TileSource& raw, const std::vector<RawColumn>& columns = {});

// Decides per column from the survey, and reads `raw` once more for the exact mean and standard deviation of the
// transformed values where the kind needs them. ContentsError: infinite cells, missing cells under the error policy
// (count, columns, first cells), no usable active column.
ChosenTransform choose_transform(Context& context, TileSource& raw, const ColumnSurvey& survey, const std::vector<RawColumn>& columns,
                                 const TransformOptions& options);

// Clustering rows: float32 tiles of transform.columns. Kept in memory when they fit three quarters of what the ledger
// has left (then `raw` is read once), else transformed anew in every sweep; the bits are the same. Side columns of `raw`
// are not carried over: zip the result. `raw` must outlive the source, and only one of the two is swept at a time.
// ContentsError when a cell cannot be transformed (infinite; missing without a fill value): it names the first such row
// and column.
std::unique_ptr<TileSource> transformed(Context& context, TileSource& raw, const Transform& transform);

// The logarithm of the volume of a unit cell of clustering units in raw units, by which log-densities differ between the
// two; nothing where a column is no shift and scale of raw values (log1p, winsorised, answered), or where missing cells stay missing
// and the volume of a row depends on which it has.
std::optional<double> log_volume(const Transform& transform);

// Clustering units back to raw units: the value whose transform is `value` (the centre of an answered column is a share).
double to_raw_units(const ColumnTransform& column, double value);

}  // namespace coterie
