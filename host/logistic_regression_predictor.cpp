// The CPU predictor of logistic regressions: log-odds in double about the center, probabilities and reasons.
#include <algorithm>
#include <cmath>

#include "host/elementary.hpp"
#include "host/logistic_regression.hpp"
#include "host/segment_rows.hpp"

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
    for_each_block(context_, tile, [&](std::int64_t first, std::int64_t last, std::size_t) {
      for (std::int64_t row = first; row < last; ++row)
        for (std::size_t m = 0; m < models_.size(); ++m) predict_row(tile, row, m);
    });
    return {log_odds_, probability_, reason_, contribution_};
  }

 private:
  void predict_row(const Tile& tile, std::int64_t row, std::size_t m) {
    const Model& model = *models_[m];
    const std::size_t cell = static_cast<std::size_t>(row) * models_.size() + m;
    std::int32_t* const reason = reason_.data() + cell * n_reasons_;
    double* const contribution = contribution_.data() + cell * n_reasons_;
    std::fill_n(reason, n_reasons_, -1);
    std::fill_n(contribution, n_reasons_, 0.0);
    const float* const x = tile.x + row * tile.n_columns;
    double eta = model.at_center;
    for (std::size_t j = 0; j < model.coefficients.size(); ++j) {
      const double term = model.coefficients[j] * (static_cast<double>(x[j]) - model.center[j]);
      eta += term;
      if (n_reasons_ > 0) insert(reason, contribution, static_cast<std::int32_t>(j), term);
    }
    if (tile.label != nullptr) {
      const std::int32_t segment = tile.label[row];
      if (segment >= 0 && static_cast<std::size_t>(segment) < model.segment_effects.size())
        eta += model.segment_effects[static_cast<std::size_t>(segment)];
    }
    log_odds_[cell] = eta;
    probability_[cell] = probability(eta);
  }

  static double probability(double eta) {
    const double e = coterie::exp(-magnitude(eta)), q = 1 / (1 + e);
    return eta > 0 ? q : e * q;
  }

  // Keeps the largest |contribution| first; strictly larger moves up, so among equals the lower column stays.
  void insert(std::int32_t* reason, double* contribution, std::int32_t column, double term) const {
    std::size_t at = n_reasons_ - 1;
    if (reason[at] >= 0 && !(magnitude(term) > magnitude(contribution[at]))) return;
    for (; at > 0 && (reason[at - 1] < 0 || magnitude(term) > magnitude(contribution[at - 1])); --at) {
      reason[at] = reason[at - 1];
      contribution[at] = contribution[at - 1];
    }
    reason[at] = column;
    contribution[at] = term;
  }

  Context& context_;
  std::size_t n_reasons_;
  std::vector<const Model*> models_;
  std::vector<double> log_odds_, probability_, contribution_;
  std::vector<std::int32_t> reason_;
};

}  // namespace

std::unique_ptr<Predictor> make_cpu_predictor(Context& context, std::int32_t n_reasons) {
  return std::make_unique<CpuPredictor>(context, n_reasons);
}

}  // namespace coterie::logistic_regression
