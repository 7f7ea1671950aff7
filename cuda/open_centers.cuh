// Rows that the certificate of a scan (tensor_scan.cuh) leaves open, one warp each: which centers may win, and which of them does.
#pragma once

#include "cuda/fixed_point.cuh"
#include "cuda/nearest_centers.cuh"
#include "cuda/tensor_scan.cuh"

namespace coterie::COTERIE_GPU {

inline constexpr int kPartCenters = 32;  // that a warp scans at a time: warps that share rows take them in turn

// What one lane tells of the centers that it has scanned for a row: those that its bounds, up to the last it kept, do not exclude. A bound
// that is not a number excludes nothing.
struct OpenCode {
  static constexpr int kNone = -1, kAll = -2;  // all of its centers
  int first = kNone, second = kNone;

  __device__ static OpenCode of(const LowestTwo& found, float limit) {
    return {!(found.second > limit) ? kAll : !(found.best > limit) ? found.index : kNone, kNone};
  }
  __device__ static OpenCode of(const LowestThree& found, float limit) {
    if (!(found.third > limit)) return {kAll, kNone};
    return {!(found.best > limit) ? found.index : kNone, !(found.second > limit) ? found.second_index : kNone};
  }
};

// The centers that may be nearest to a row, which all lanes of a warp see together.
class OpenCenters {
 public:
  // Lane first_lane + 4 * (part + n_parts * list) + member tells of the centers that this member of that part has put on that list: of
  // every tile of 8 on the next one. n_parts, n_lists: powers of two.
  __device__ OpenCenters(const OpenCode& code, int first_lane, int n_parts, int n_lists, int n_clusters)
      : first_lane_(first_lane), n_parts_(n_parts), n_lists_(n_lists), n_clusters_(n_clusters) {
    const int place = static_cast<int>(threadIdx.x) % 32 - first_lane;
    if (place >= 0 && place < 4 * n_parts * n_lists) code_ = code;
    named_ = !__any_sync(kAllLanes, code_.first == OpenCode::kAll);
  }

  // Calls visit(mask, center) for some of the centers at a time, one of lane i in bit i of the mask; center: of this lane, or any.
  template <class Visit>
  __device__ void for_each_mask(Visit&& visit) const {
    if (named_) {
      visit(__ballot_sync(kAllLanes, code_.first >= 0), code_.first);
      visit(__ballot_sync(kAllLanes, code_.second >= 0), code_.second);
      return;
    }
    for (int first = 0; first < n_clusters_; first += 32) {
      const int center = first + static_cast<int>(threadIdx.x) % 32;
      visit(__ballot_sync(kAllLanes, contains(center)), center);
    }
  }

 private:
  __device__ bool contains(int center) const {
    const int part = center / kPartCenters & (n_parts_ - 1), list = center / 8 & (n_lists_ - 1);
    const int teller = first_lane_ + 4 * (part + n_parts_ * list) + center % 8 / 2;
    const int first = __shfl_sync(kAllLanes, code_.first, teller), second = __shfl_sync(kAllLanes, code_.second, teller);
    return center < n_clusters_ && (first == OpenCode::kAll || first == center || second == center);
  }

  OpenCode code_;
  int first_lane_, n_parts_, n_lists_, n_clusters_;
  bool named_;  // by the codes, each of them
};

// Centers of one model: (n_clusters, padded_columns).
struct CenterRows {
  const float* first;
  int n_columns, padded_columns;

  __device__ const float* operator[](std::int64_t cluster) const { return first + cluster * padded_columns; }
};

// Of two that saw different centers. Of equals either may win: nothing is certain then.
__device__ inline void merge_across_lanes(TopTwo<float>& top, int bits) {
  const float best = __shfl_xor_sync(kAllLanes, top.best, bits), second = __shfl_xor_sync(kAllLanes, top.second, bits);
  const int index = __shfl_xor_sync(kAllLanes, top.best_index, bits);
  top.second = min(max(top.best, best), min(top.second, second));
  if (best < top.best) top.best_index = index;
  top.best = min(top.best, best);
}

__device__ __forceinline__ void add_squares(float& s, const float4& x, const float4& center) {
  const float t[4] = {x.x - center.x, x.y - center.y, x.z - center.z, x.w - center.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) s = __fmaf_rn(t[i], t[i], s);
}

// A share of the columns of one center, for one of the eight lanes that measure it. kAhead: how many fours of them are asked for at a
// time, for their registers.
template <int kAhead>
__device__ __forceinline__ float partial_square(const float* x, int n_columns, const float* center) {
  float s = 0;
#pragma unroll kAhead
  for (int j = static_cast<int>(threadIdx.x) % 8 * 4; j < n_columns; j += 32) {
    add_squares(s, four_cells(x, j, n_columns), *reinterpret_cast<const float4*>(center + j));
  }
  return s;
}

// In float32, four centers at a time; all lanes return the same.
template <int kAhead>
__device__ inline TopTwo<float> nearest_fast(const float* x, const CenterRows& centers, const OpenCenters& open) {
  constexpr int kAtOnce = 4;
  const int slot = static_cast<int>(threadIdx.x) % 32 / 8;
  TopTwo<float> top;
  open.for_each_mask([&](unsigned rest, int center) {
    while (rest != 0) {
      unsigned own = rest;  // becomes the slot-th of them, if there is one
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        if (i < slot) own &= own - 1;
        rest &= rest - 1;
      }
      const int cluster = __shfl_sync(kAllLanes, center, own != 0 ? __ffs(static_cast<int>(own)) - 1 : 0);
      const float s = add_lanes(own != 0 ? partial_square<kAhead>(x, centers.n_columns, centers[cluster]) : 0.0f, 1, 4);
      if (own != 0) top.offer(s, cluster);
    }
  });
  merge_across_lanes(top, 8);
  merge_across_lanes(top, 16);
  return top;
}

// Calls measure(cluster, s) with the definition's result for every open center, one lane each.
template <class Measure>
__device__ void for_each_exact(const float* x, const CenterRows& centers, const OpenCenters& open, Measure&& measure) {
  open.for_each_mask([&](unsigned mask, int center) {
    if ((mask >> threadIdx.x % 32 & 1) != 0) measure(center, squared_distance<1>(x, centers.n_columns, centers[center]));
  });
}

// Of results of the definition, offered in any order by all lanes.
struct ExactNearest {
  double best = __builtin_huge_val();
  int label = 0x7fffffff;  // of no center

  __device__ void offer(int cluster, double s) {
    if (s < best || (s == best && cluster < label)) {
      best = s;
      label = cluster;
    }
  }
  __device__ int label_of_all() {
    for (int other = 16; other > 0; other /= 2) {
      const double s = __shfl_xor_sync(kAllLanes, best, other);
      offer(__shfl_xor_sync(kAllLanes, label, other), s);
    }
    return label;
  }
};

// By the definition; all lanes return the same.
__device__ inline int nearest_exact(const float* x, const CenterRows& centers, const OpenCenters& open) {
  ExactNearest nearest;
  for_each_exact(x, centers, open, [&](int cluster, double s) { nearest.offer(cluster, s); });
  return nearest.label_of_all();
}

// How many rows a warp has decided, and how many of them by the definition; as SweepTally.
struct OpenTally {
  int rechecked = 0, exact = 0;
};

// In float32 where its own certificate holds. ratio, underflow: of nearest::Certainty.
template <int kAhead>
__device__ inline int decide(const float* x, const CenterRows& centers, const OpenCenters& open, float ratio, float underflow,
                             OpenTally& tally) {
  ++tally.rechecked;
  const TopTwo<float> top = nearest_fast<kAhead>(x, centers, open);
  if (top.second > __fmaf_rn(top.best, ratio, underflow)) return top.best_index;
  ++tally.exact;
  return nearest_exact(x, centers, open);
}

}  // namespace coterie::COTERIE_GPU
