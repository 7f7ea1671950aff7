// The only two loops over rows in the project. Everything else is what happens to a tile and what happens to statistics.
#pragma once

#include <string_view>
#include <tuple>

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

template <class First, class Second>
struct JointStatistics {
  First first;
  Second second;
  void for_each_field(FieldVisitor& visitor) {
    first.for_each_field(visitor);
    second.for_each_field(visitor);
  }
};

// Two passes that share a sweep; its models are std::tie(first models, second models).
template <class FirstPass, class SecondPass>
class JointPass {
 public:
  JointPass(FirstPass& first, SecondPass& second) : first_(first), second_(second) {}
  template <class FirstModels, class SecondModels>
  void begin(const std::tuple<FirstModels&, SecondModels&>& models) {
    first_.begin(std::get<0>(models));
    second_.begin(std::get<1>(models));
  }
  void accumulate(const Tile& tile) {
    first_.accumulate(tile);
    second_.accumulate(tile);
  }
  auto finish() { return JointStatistics{first_.finish(), second_.finish()}; }

 private:
  FirstPass& first_;
  SecondPass& second_;
};

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
