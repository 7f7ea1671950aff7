// Sorting by Thrust: on the emulated device by its sequential system, in the same words.
#include "cuda/ranked_scores.hpp"

#include <thrust/binary_search.h>
#include <thrust/copy.h>
#include <thrust/execution_policy.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/discard_iterator.h>
#include <thrust/iterator/permutation_iterator.h>
#include <thrust/iterator/transform_iterator.h>
#include <thrust/reduce.h>
#include <thrust/sort.h>
#include <thrust/system_error.h>
#include <thrust/transform.h>

#include <limits>
#include <new>
#include <string>

#include "cuda/device_buffer.hpp"

namespace coterie::COTERIE_GPU {
namespace {

struct ScoreOf {
  _CCCL_HOST_DEVICE double operator()(const ScoreRecord& record) const { return record.score; }
};
struct SegmentOf {
  _CCCL_HOST_DEVICE std::int32_t operator()(const ScoreRecord& record) const { return record.segment_and_outcome >> 1; }
};
struct TieOf {
  _CCCL_HOST_DEVICE TiedScore operator()(const ScoreRecord& record) const {
    const std::int64_t positive = record.segment_and_outcome & 1;
    return {record.score, positive, 1 - positive, positive * record.weight, (1 - positive) * record.weight};
  }
};
struct Join {
  _CCCL_HOST_DEVICE TiedScore operator()(const TiedScore& a, const TiedScore& b) const {
    return {a.score, a.positive_rows + b.positive_rows, a.negative_rows + b.negative_rows, a.positive_weight + b.positive_weight,
            a.negative_weight + b.negative_weight};
  }
};

auto policy(DeviceContext& device) {
#ifdef COTERIE_EMULATED
  device.compute.synchronize();  // its copies; what follows runs at once
  return thrust::device;
#else
  return thrust::cuda::par.on(device.compute.get());
#endif
}

// Records in ascending order of their keys, and their keys.
template <class Key, class KeyOf, class Order>
DeviceBuffer<Key> sort_by(DeviceContext& device, DeviceBuffer<ScoreRecord>& records, KeyOf key_of, Order order) {
  DeviceBuffer<Key> keys(records.size());
  thrust::transform(policy(device), records.data(), records.data() + records.size(), keys.data(), key_of);
  thrust::stable_sort_by_key(policy(device), keys.data(), keys.data() + keys.size(), records.data(), order);
  return keys;
}

// Of the sorted records [begin, end). groups: room for as many.
std::vector<TiedScore> tied(DeviceContext& device, const ScoreRecord* begin, const ScoreRecord* end, DeviceBuffer<TiedScore>& groups) {
  const auto scores = thrust::make_transform_iterator(begin, ScoreOf{});
  const auto last = thrust::reduce_by_key(policy(device), scores, scores + (end - begin), thrust::make_transform_iterator(begin, TieOf{}),
                                          thrust::make_discard_iterator(), groups.data(), thrust::equal_to<double>{}, Join{});
  std::vector<TiedScore> result(static_cast<std::size_t>(last.second - groups.data()));
  copy_to_host(result.data(), groups.data(), result.size(), device.compute.get());
  device.compute.synchronize();
  return result;
}

std::vector<RankedScores> rank(DeviceContext& device, const std::vector<ScoreRecord>& counted, std::int32_t n_segments) {
  DeviceBuffer<ScoreRecord> records(counted.size());
  copy_to_device(records.data(), counted.data(), counted.size(), device.compute.get());
  sort_by<double>(device, records, ScoreOf{}, thrust::greater<double>{});
  DeviceBuffer<TiedScore> groups(counted.size());
  std::vector<RankedScores> ranked(static_cast<std::size_t>(n_segments) + 1);
  const ScoreRecord* const first = records.data();
  ranked.back().groups = tied(device, first, first + records.size(), groups);
  if (n_segments == 0) return ranked;

  const DeviceBuffer<std::int32_t> segments = sort_by<std::int32_t>(device, records, SegmentOf{}, thrust::less<std::int32_t>{});
  DeviceBuffer<std::int64_t> ends(static_cast<std::size_t>(n_segments));
  thrust::upper_bound(policy(device), segments.data(), segments.data() + segments.size(), thrust::counting_iterator<std::int32_t>(0),
                      thrust::counting_iterator<std::int32_t>(n_segments), ends.data());
  std::vector<std::int64_t> end(ends.size());
  copy_to_host(end.data(), ends.data(), end.size(), device.compute.get());
  device.compute.synchronize();
  for (std::size_t s = 0; s < end.size(); ++s) ranked[s].groups = tied(device, first + (s == 0 ? 0 : end[s - 1]), first + end[s], groups);
  return ranked;
}

std::vector<double> cuts(DeviceContext& device, std::span<const double> score, const std::vector<std::int64_t>& ranks) {
  DeviceBuffer<double> sorted(score.size()), found(ranks.size());
  DeviceBuffer<std::int64_t> at(ranks.size());
  copy_to_device(sorted.data(), score.data(), score.size(), device.compute.get());
  copy_to_device(at.data(), ranks.data(), ranks.size(), device.compute.get());
  thrust::sort(policy(device), sorted.data(), sorted.data() + sorted.size());
  const auto wanted = thrust::make_permutation_iterator(sorted.data(), at.data());
  thrust::copy(policy(device), wanted, wanted + std::ssize(ranks), found.data());
  std::vector<double> result(ranks.size());
  copy_to_host(result.data(), found.data(), result.size(), device.compute.get());
  device.compute.synchronize();
  return result;
}

struct Need {
  std::size_t device_bytes, host_bytes;
};

// f(), or what `otherwise` gives where memory does not allow it.
template <class F, class Otherwise>
auto if_it_fits(Context& context, const DeviceContext& device, const Need& need, F&& f, Otherwise&& otherwise) {
  if (need.device_bytes > static_cast<std::size_t>(device.memory_bytes)) return otherwise();
  Reservation memory;
  if (!context.memory().try_reserve(static_cast<std::int64_t>(need.host_bytes), memory)) return otherwise();
  try {
    return f();
  } catch (const OutOfDeviceMemory&) {
  } catch (const std::bad_alloc&) {  // Thrust's, for scratch
  } catch (const thrust::system_error& error) {
    throw DeviceError(std::string("sorting scores on the device failed: ") + error.what() + ". Nothing was written. Use --device cpu");
  }
  return otherwise();
}

}  // namespace

std::vector<RankedScores> rank_scores(Context& context, DeviceContext& device, const ScoredRows& rows, std::int32_t n_segments) {
  // Records and keys twice for the sort, and as many groups as rows: once on the device, of the population and of all segments here.
  const std::size_t n = count_rows(rows);
  const Need need{n * (2 * (sizeof(ScoreRecord) + sizeof(double)) + sizeof(TiedScore)), n * (sizeof(ScoreRecord) + 2 * sizeof(TiedScore))};
  return if_it_fits(
      context, device, need, [&] { return rank(device, counted_records(rows, n_segments, n), n_segments); },
      [&] { return coterie::rank_scores(context, rows, n_segments); });
}

std::vector<double> percentile_cuts(Context& context, DeviceContext& device, std::span<const double> score) {
  return if_it_fits(
      context, device, {2 * score.size_bytes(), 0},
      [&] {
        std::vector<double> result;
        std::vector<std::int64_t> ranks;
        for (std::int32_t p = 1; p < kPercentiles; ++p) {
          const std::int64_t rank = last_rank(std::ssize(score), p);
          rank == 0 ? result.push_back(-std::numeric_limits<double>::infinity()) : ranks.push_back(rank - 1);
        }
        const std::vector<double> found = cuts(device, score, ranks);
        result.insert(result.end(), found.begin(), found.end());
        return result;
      },
      [&] { return coterie::percentile_cuts(context, score); });
}

}  // namespace coterie::COTERIE_GPU
