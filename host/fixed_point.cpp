#include "host/fixed_point.hpp"

namespace coterie {

std::vector<float> center_of(const kmeans::Grid& grid, const kmeans::GridMoments& moments) {
  std::vector<float> center;
  for (std::size_t j = 0; j < grid.steps.size(); ++j)
    center.push_back(static_cast<float>(std::nearbyint(static_cast<double>(moments.sums.value(j)) / static_cast<double>(moments.weight)) *
                                        grid.steps[j]));
  return center;
}

}  // namespace coterie
