// The only two loops over rows in the project. Everything else is what happens to a tile and what happens to statistics.
#pragma once

#include <algorithm>
#include <string_view>
#include <tuple>

#include "host/context.hpp"
#include "host/error.hpp"
#include "host/tile_source.hpp"

namespace coterie {

// The same error, which also names the rows of the source that were in flight.
[[noreturn]] void throw_with_rows(const DeviceError& error, const TileSource& source);

// begin(), then the sweep, whose result it returns. A device that runs out of memory does it all anew with less of the source on it, as
// long as there is less: what a sweep finds depends on its rows and models only.
template <class Begin, class Sweep>
auto sweep_rows(TileSource& source, Begin&& begin, Sweep&& sweep) {
  for (;;) {
    bool under_way = false;
    try {
      begin();
      source.rewind();
      under_way = true;
      return sweep();
    } catch (const OutOfDeviceMemory&) {
      if (!source.hold_less()) throw;
    } catch (const DeviceError& error) {
      if (under_way) throw_with_rows(error, source);
      throw;
    }
  }
}

// Rows become statistics: begin(models), accumulate(tile) for every tile, finish() -> statistics merged over the ranks.
template <class Pass, class Models>
auto reduce_tiles(Context& context, TileSource& source, Pass& pass, const Models& models, std::string_view phase = "fit") {
  auto statistics = sweep_rows(
      source, [&] { pass.begin(models); },
      [&] {
        while (const Tile* tile = source.next()) {
          pass.accumulate(*tile);
          context.report({phase, tile->first_row - source.first_row() + tile->n_rows, source.n_rows()});
        }
        return pass.finish();
      });
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
template <class First, class Second>
JointStatistics(First, Second) -> JointStatistics<First, Second>;

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

struct MapOptions {
  std::string_view phase = "predict";
  std::int64_t rows_at_once = kAllRows;  // that the sink gets at most: a multiple of kBlockRows
};

// Rows become row-aligned output: sink(first_row, predictor.predict(rows)) for every tile, or so many of its rows as the sink and the
// predictor take at once, in row order. What the sink has got it does not get again.
template <class Predictor, class Model, class Sink>
void map_tiles(Context& context, TileSource& source, Predictor& predictor, const Model& model, Sink&& sink,
               const MapOptions& options = {}) {
  std::int64_t n_rows = 0;  // that the sink has got
  sweep_rows(
      source, [&] { predictor.begin(model); },
      [&] {
        while (const Tile* tile = source.next()) {
          const std::int64_t end = tile->first_row - source.first_row() + tile->n_rows;
          while (n_rows < end) {
            std::int64_t count = std::min(end - n_rows, options.rows_at_once);
            if constexpr (requires { predictor.rows_at_once(); }) count = std::min(count, predictor.rows_at_once());
            const Tile rows = rows_of(*tile, source.first_row() + n_rows, count);
            sink(rows.first_row, predictor.predict(rows));
            n_rows += count;
            context.report({options.phase, n_rows, source.n_rows()});
          }
        }
      });
}

}  // namespace coterie
