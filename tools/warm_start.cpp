#include "tools/warm_start.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/error.hpp"

namespace coterie::tools {

namespace {

using gaussian_mixture::CovarianceType;

// A column of this fit: which column of the model it is, and value -> value * scale + shift.
struct Change {
  std::size_t from;
  double scale, shift;
};

std::vector<Change> changes_of_units(const io::SegmentationModel& model, const std::string& init, const Transform& transform) {
  const Transform& old = model.transform;
  if (old.names.size() != transform.names.size())
    throw ContentsError(fmt::format("--init {}: the model was fitted to {} columns, this input gives {}. Nothing was written.", init,
                                    old.names.size(), transform.names.size()));
  std::vector<Change> changes;
  for (std::size_t j = 0; j < transform.names.size(); ++j) {
    const auto at = static_cast<std::size_t>(std::find(old.names.begin(), old.names.end(), transform.names[j]) - old.names.begin());
    if (at == old.names.size())
      throw ContentsError(fmt::format("--init {}: the model does not know column {}. Nothing was written.", init, transform.names[j]));
    const ColumnTransform &before = old.columns[at], &now = transform.columns[j];
    if (before.log1p != now.log1p || before.answered != now.answered)
      throw ContentsError(
          fmt::format("--init {}: the model has transformed column {} in another way. Nothing was written. Choose the same --transform.",
                      init, transform.names[j]));
    changes.push_back({at, before.scale / now.scale, (before.center - now.center) / now.scale});
  }
  return changes;
}

std::vector<double> carried_means(const auto& means, const std::vector<Change>& changes) {
  const std::size_t d = changes.size();
  std::vector<double> carried(means.size());
  for (std::size_t i = 0; i < carried.size(); ++i) {
    const Change& change = changes[i % d];
    carried[i] = static_cast<double>(means[i / d * d + change.from]) * change.scale + change.shift;
  }
  return carried;
}

// One inverse covariance: P P^T with rows and columns in the new order and units.
std::vector<double> carried_precision(const double* p, const std::vector<Change>& changes) {
  const std::size_t d = changes.size();
  std::vector<double> precision(d * d);
  for (std::size_t a = 0; a < d; ++a)
    for (std::size_t b = 0; b < d; ++b) {
      double sum = 0;
      for (std::size_t i = 0; i < d; ++i) sum += p[changes[a].from * d + i] * p[changes[b].from * d + i];
      precision[a * d + b] = sum / (changes[a].scale * changes[b].scale);
    }
  return precision;
}

std::vector<double> carried_precisions(const gaussian_mixture::Model& model, const std::vector<Change>& changes) {
  const std::size_t d = changes.size();
  const auto& p = model.precisions_cholesky;
  std::vector<double> precisions;
  switch (model.covariance_type) {
    case CovarianceType::full:
    case CovarianceType::tied:
      for (std::size_t first = 0; first < p.size(); first += d * d) {
        const std::vector<double> precision = carried_precision(p.data() + first, changes);
        precisions.insert(precisions.end(), precision.begin(), precision.end());
      }
      return precisions;
    case CovarianceType::diag:
      for (std::size_t i = 0; i < p.size(); ++i) {
        const double root = p[i / d * d + changes[i % d].from] / changes[i % d].scale;
        precisions.push_back(root * root);
      }
      return precisions;
    case CovarianceType::spherical: {
      double square = 0;  // columns may be scaled differently: the mean variance is what stays spherical
      for (const Change& change : changes) square += change.scale * change.scale / static_cast<double>(d);
      for (const double root : p) precisions.push_back(root * root / square);
      return precisions;
    }
  }
  return precisions;
}

}  // namespace

void start_from(const io::SegmentationModel& model, const std::string& init, const Transform& transform, gaussian_mixture::Params& params) {
  const std::vector<Change> changes = changes_of_units(model, init, transform);
  if (const auto* clusters = std::get_if<kmeans::Model>(&model.fit)) {
    params.means_init = carried_means(clusters->cluster_centers, changes);
    return;
  }
  const auto& mixture = std::get<gaussian_mixture::Model>(model.fit);
  params.weights_init = mixture.weights;
  params.means_init = carried_means(mixture.means, changes);
  params.precisions_init = carried_precisions(mixture, changes);
}

}  // namespace coterie::tools
