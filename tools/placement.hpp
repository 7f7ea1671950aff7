// What a fitted model says about each customer, in the columns of a result file: the same for `cluster`, `run` and `assign`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "host/tile_source.hpp"
#include "io/fitted_model.hpp"
#include "io/row_stream.hpp"
#include "tools/session.hpp"

namespace coterie::tools {

// The customers of one tile; everything lives until the next one.
struct PlacedRows {
  std::int64_t first_row = 0;
  std::span<const std::int32_t> label, second;  // (n_rows); second may be empty
  std::vector<io::Cells> cells;                 // of Placer::columns(), (n_rows) each
  std::span<const float> probabilities;         // (n_rows, n_segments), or empty when not asked for
};

class Placer {
 public:
  virtual ~Placer() = default;
  virtual std::vector<io::RowColumn> columns() const = 0;  // what follows ids and segments
  // sink(rows) for every tile of `rows` in clustering units, in row order. Rows of weight zero are placed like any other.
  virtual void place(TileSource& rows, const std::function<void(const PlacedRows&)>& sink) = 0;
};

struct PlacementDetails {
  bool probabilities = false;                    // those of all segments
  std::optional<double> outlier_log_likelihood;  // customers below it are marked
};
// `model` must outlive the placer. Details are for mixtures only.
std::unique_ptr<Placer> make_placer(Session& session, const io::FittedModel& model, const PlacementDetails& details = {});

// The log-likelihood below which the given share of all weight lies, or a little less where customers tie: the smallest
// value with more than that share at or below it. weight: (n_rows) steps, or empty. Four sweeps, each of which finds 16 bits of the
// value (as host/quantiles.hpp does): memory does not grow with the rows.
double outlier_log_likelihood(Session& session, TileSource& rows, const gaussian_mixture::Model& model,
                              std::span<const std::int32_t> weight, double share);

}  // namespace coterie::tools
