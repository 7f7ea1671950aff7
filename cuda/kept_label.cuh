// Where the label of a row is kept from sweep to sweep (sweep_memory.hpp), for kernels.
#pragma once

#include "cuda/kernel.hpp"
#include "cuda/sweep_memory.hpp"

namespace coterie::COTERIE_GPU {

// row: of the tile; nullptr where no label is kept.
__device__ inline std::uint16_t* place_of_label(const KeptLabels& labels, std::int32_t slot, int row) {
  if (labels.first == nullptr || slot < 0) return nullptr;
  const std::int64_t at = labels.first_row + row;
  return labels.first + ((at >> 5) * labels.n_slots + slot) * 32 + (at & 31);
}

}  // namespace coterie::COTERIE_GPU
