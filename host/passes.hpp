// The only two loops over rows in the project. Everything else is what happens to a tile and what happens to statistics.
#pragma once

#include <string_view>

#include "host/context.hpp"
#include "host/tile_source.hpp"

namespace coterie {

// Rows become statistics: begin(models), accumulate(tile) for every tile, finish() -> statistics merged over the ranks.
template <class Pass, class Models>
auto reduce_tiles(Context& context, TileSource& source, Pass& pass, const Models& models, std::string_view phase = "fit") {
  pass.begin(models);
  source.rewind();
  while (const Tile* tile = source.next()) {
    pass.accumulate(*tile);
    context.report({phase, tile->first_row - source.first_row() + tile->n_rows, source.n_rows()});
  }
  auto statistics = pass.finish();
  AllReduce merge(context.communicator());
  statistics.for_each_field(merge);
  return statistics;
}

// Rows become row-aligned output: sink(first_row, predictor.predict(tile)) for every tile, in row order.
template <class Predictor, class Model, class Sink>
void map_tiles(Context& context, TileSource& source, Predictor& predictor, const Model& model, Sink&& sink,
               std::string_view phase = "predict") {
  predictor.begin(model);
  source.rewind();
  while (const Tile* tile = source.next()) {
    sink(tile->first_row, predictor.predict(*tile));
    context.report({phase, tile->first_row - source.first_row() + tile->n_rows, source.n_rows()});
  }
}

}  // namespace coterie
