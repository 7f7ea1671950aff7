#include "tools/placement.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "host/ordered_key.hpp"
#include "host/passes.hpp"
#include "io/result_file.hpp"

namespace coterie::tools {

namespace {

std::vector<float> narrowed(std::span<const double> values) { return {values.begin(), values.end()}; }

class KMeansPlacer final : public Placer {
 public:
  KMeansPlacer(Session& session, const kmeans::Model& model) : session_(session), model_(model) {}

  std::vector<io::RowColumn> columns() const override { return io::distance_columns(); }

  void place(TileSource& rows, const std::function<void(const PlacedRows&)>& sink) override {
    const auto predictor = session_.backend().kmeans_predictor();
    std::vector<float> distance, margin;
    map_tiles(session_.context(), rows, *predictor, model_, [&](std::int64_t first_row, const kmeans::Assignment& assignment) {
      const std::size_t n_rows = assignment.label.size();
      distance.resize(n_rows);
      margin.resize(n_rows);
      session_.context().parallel_stretches(std::ssize(distance), kBlockRows, [&](std::int64_t first, std::int64_t last) {
        for (auto row = static_cast<std::size_t>(first); row < static_cast<std::size_t>(last); ++row) {
          distance[row] = static_cast<float>(std::sqrt(assignment.squared_distance[row]));
          margin[row] = static_cast<float>(kmeans::margin(assignment.squared_distance[row], assignment.second_squared_distance[row]));
        }
      });
      sink({first_row, assignment.label, assignment.second, {std::span<const float>(distance), std::span<const float>(margin)}, {}});
    });
  }

 private:
  Session& session_;
  const kmeans::Model& model_;
};

class MixturePlacer final : public Placer {
 public:
  MixturePlacer(Session& session, const gaussian_mixture::Model& model, const PlacementDetails& details)
      : session_(session), model_(model), details_(details) {}

  std::vector<io::RowColumn> columns() const override { return io::probability_columns(details_.outlier_log_likelihood.has_value()); }

  void place(TileSource& rows, const std::function<void(const PlacedRows&)>& sink) override {
    constexpr std::int64_t kCells = std::int64_t{1} << 21;  // 24 MiB of probabilities, as doubles and as floats
    const std::int64_t cells_per_row = details_.probabilities ? model_.n_components + 4 : 4;
    const auto predictor = session_.backend().gaussian_mixture_predictor(details_.probabilities);
    std::vector<std::uint8_t> outlier;
    map_tiles(session_.context(), rows, *predictor, model_,
              [&](std::int64_t first_row, const gaussian_mixture::Prediction& prediction) {
                const std::vector<float> probability = narrowed(prediction.probability), entropy = narrowed(prediction.entropy),
                                         log_likelihood = narrowed(prediction.log_likelihood),
                                         probabilities = narrowed(prediction.probabilities);
                PlacedRows placed{first_row,
                                  prediction.label,
                                  prediction.second,
                                  {std::span(probability), std::span(entropy), std::span(log_likelihood)},
                                  probabilities};
                if (details_.outlier_log_likelihood) {
                  outlier.clear();
                  for (const double row : prediction.log_likelihood) outlier.push_back(row < *details_.outlier_log_likelihood);
                  placed.cells.emplace_back(std::span<const std::uint8_t>(outlier));
                }
                sink(placed);
              },
              {.rows_at_once = std::max<std::int64_t>(kCells / cells_per_row / kBlockRows, 1) * kBlockRows});
  }

 private:
  Session& session_;
  const gaussian_mixture::Model& model_;
  PlacementDetails details_;
};

}  // namespace

std::unique_ptr<Placer> make_placer(Session& session, const io::FittedModel& model, const PlacementDetails& details) {
  if (const auto* mixture = std::get_if<gaussian_mixture::Model>(&model))
    return std::make_unique<MixturePlacer>(session, *mixture, details);
  return std::make_unique<KMeansPlacer>(session, std::get<kmeans::Model>(model));
}

double outlier_log_likelihood(Session& session, TileSource& rows, const gaussian_mixture::Model& model,
                              std::span<const std::int32_t> weight, double share) {
  constexpr int kDigitBits = 16;  // four sweeps; a histogram of half a megabyte
  constexpr std::uint64_t kDigits = std::uint64_t{1} << kDigitBits;
  std::vector<std::int64_t> histogram(kDigits);
  const auto predictor = session.backend().gaussian_mixture_predictor(false);
  double largest = -HUGE_VAL;
  std::uint64_t prefix = 0;  // what is known of the key that is looked for, from the highest digit on
  std::int64_t rank = 0;     // weight steps to count from the first row of the prefix
  for (int shift = 64 - kDigitBits; shift >= 0; shift -= kDigitBits) {
    std::fill(histogram.begin(), histogram.end(), 0);
    map_tiles(session.context(), rows, *predictor, model, [&](std::int64_t first_row, const gaussian_mixture::Prediction& prediction) {
      for (std::size_t i = 0; i < prediction.log_likelihood.size(); ++i) {
        const std::uint64_t key = ordered_key(prediction.log_likelihood[i]);
        if ((key ^ prefix) >> shift >> kDigitBits != 0) continue;
        histogram[(key >> shift) % kDigits] += weight.empty() ? 1 : weight[static_cast<std::size_t>(first_row) + i];
        largest = std::max(largest, prediction.log_likelihood[i]);
      }
    });
    if (rank == 0) {
      const std::int64_t total = std::accumulate(histogram.begin(), histogram.end(), std::int64_t{0});
      rank = static_cast<std::int64_t>(share * static_cast<double>(total)) + 1;  // the first row with more than the share up to it
      if (rank > total) return std::nextafter(largest, HUGE_VAL);                // a share of 1: everybody
    }
    std::uint64_t digit = 0;
    while (rank > histogram[digit]) rank -= histogram[digit++];
    prefix |= digit << shift;
  }
  return from_ordered_key<double>(prefix);
}

}  // namespace coterie::tools
