// The CPU predictor of logistic regressions: log-odds in double about the center, probabilities and reasons.
#include <fmt/format.h>

#include <vector>

#include "host/error.hpp"
#include "host/forecasts.hpp"
#include "host/log_odds.hpp"
#include "host/row_blocks.hpp"

namespace coterie::logistic_regression {
namespace {

class CpuPredictor final : public Predictor {
 public:
  CpuPredictor(Context& context, std::int32_t n_reasons) : context_(context), n_reasons_(static_cast<std::size_t>(n_reasons)) {}

  void begin(std::span<const Model* const> models) override { models_.assign(models.begin(), models.end()); }

  Prediction predict(const Tile& tile) override {
    const std::size_t cells = static_cast<std::size_t>(tile.n_rows) * models_.size();
    log_odds_.resize(cells);
    probability_.resize(cells);
    reason_.resize(cells * n_reasons_);
    contribution_.resize(cells * n_reasons_);
    for_each_block(context_, tile.n_rows, [&](std::int64_t first, std::int64_t last, std::size_t) { predict_rows(tile, first, last); });
    return {log_odds_, probability_, reason_, contribution_};
  }

 private:
  void predict_rows(const Tile& tile, std::int64_t first, std::int64_t last) {
    const std::size_t from = static_cast<std::size_t>(first) * models_.size(),
                      cells = static_cast<std::size_t>(last - first) * models_.size();
    fill_log_odds(tile.x + first * tile.n_columns, last - first, models_, log_odds_.data() + from,
                  {n_reasons_, reason_.data() + from * n_reasons_, contribution_.data() + from * n_reasons_});
    if (tile.label != nullptr) add_effects(tile, first, last);
    calibration::fill_probabilities(std::span(log_odds_).subspan(from, cells), std::span(probability_).subspan(from, cells));
  }

  std::size_t cell_of(std::int64_t row, std::size_t m) const { return static_cast<std::size_t>(row) * models_.size() + m; }

  void add_effects(const Tile& tile, std::int64_t first, std::int64_t last) {
    for (std::size_t m = 0; m < models_.size(); ++m) {
      const std::vector<double>& effects = models_[m]->segment_effects;
      if (effects.empty()) continue;
      for (std::int64_t row = first; row < last; ++row)
        if (const std::int32_t segment = tile.label[row]; segment >= 0 && static_cast<std::size_t>(segment) < effects.size())
          log_odds_[cell_of(row, m)] += effects[static_cast<std::size_t>(segment)];
    }
  }

  Context& context_;
  std::size_t n_reasons_;
  std::vector<const Model*> models_;
  std::vector<double> log_odds_, probability_, contribution_;
  std::vector<std::int32_t> reason_;
};

}  // namespace

void check_reasons(std::int32_t n_reasons) {
  if (n_reasons < 0 || n_reasons > kMostReasons)
    throw InternalError(fmt::format("{} reasons are asked for, but a predictor tells at most {}", n_reasons, kMostReasons));
}

std::unique_ptr<Predictor> make_cpu_predictor(Context& context, std::int32_t n_reasons) {
  check_reasons(n_reasons);
  return std::make_unique<CpuPredictor>(context, n_reasons);
}

}  // namespace coterie::logistic_regression
