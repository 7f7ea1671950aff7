// Sorting by Thrust: a radix sort of doubles by greater, and on the emulated device its sequential system, in the same words. A row is
// no wider than it must be, for the sort moves it eight times; on their way rows and groups pass pinned memory, which all threads fill
// and empty.
#include "cuda/ranked_scores.hpp"

#include <thrust/binary_search.h>
#include <thrust/copy.h>
#include <thrust/execution_policy.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/discard_iterator.h>
#include <thrust/iterator/permutation_iterator.h>
#include <thrust/iterator/transform_iterator.h>
#include <thrust/reduce.h>
#include <thrust/sequence.h>
#include <thrust/sort.h>
#include <thrust/system_error.h>
#include <thrust/transform.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <limits>
#include <memory>
#include <string>

#include "cuda/device_buffer.hpp"

namespace coterie::COTERIE_GPU {
namespace {

using RowNumber = std::uint32_t;
using Segment = std::uint32_t;

// The rows of one score. Where no row has a weight, weights are rows.
struct Tie {
  double score;
  RowNumber positive_rows, negative_rows;

  TiedScore wide() const { return {score, positive_rows, negative_rows, positive_rows, negative_rows}; }
};
struct WeightedTie {
  double score;
  RowNumber positive_rows, negative_rows;
  std::int64_t positive_weight, negative_weight;

  TiedScore wide() const { return {score, positive_rows, negative_rows, positive_weight, negative_weight}; }
};

// What the sort moves beside the score of a row without a weight, of at most 127 segments: 2 * segment + outcome.
struct NarrowTag {
  static constexpr std::int32_t kMaxSegments = 127;  // and one more for rows of none
  std::uint8_t bits;

  static NarrowTag of(std::int32_t, std::int32_t segment, bool positive) { return {static_cast<std::uint8_t>(2 * segment + positive)}; }
  _CCCL_HOST_DEVICE Segment segment() const { return bits >> 1; }
  _CCCL_HOST_DEVICE Tie tie(double score) const {
    const RowNumber positive = bits & 1u;
    return {score, positive, 1 - positive};
  }
};
struct WideTag {
  std::int32_t weight;
  std::uint32_t segment_and_outcome;

  static WideTag of(std::int32_t weight, std::int32_t segment, bool positive) {
    return {weight, 2 * static_cast<std::uint32_t>(segment) + positive};
  }
  _CCCL_HOST_DEVICE Segment segment() const { return segment_and_outcome >> 1; }
  _CCCL_HOST_DEVICE WeightedTie tie(double score) const {
    const RowNumber positive = segment_and_outcome & 1;
    return {score, positive, 1 - positive, positive * std::int64_t{weight}, (1 - positive) * std::int64_t{weight}};
  }
};
template <class Tag>
using TieOf = decltype(Tag{}.tie(0.0));

struct Join {
  _CCCL_HOST_DEVICE Tie operator()(const Tie& a, const Tie& b) const {
    return {a.score, a.positive_rows + b.positive_rows, a.negative_rows + b.negative_rows};
  }
  _CCCL_HOST_DEVICE WeightedTie operator()(const WeightedTie& a, const WeightedTie& b) const {
    return {a.score, a.positive_rows + b.positive_rows, a.negative_rows + b.negative_rows, a.positive_weight + b.positive_weight,
            a.negative_weight + b.negative_weight};
  }
};
template <class Tag>
struct SegmentOf {
  _CCCL_HOST_DEVICE Segment operator()(const Tag& tag) const { return tag.segment(); }
};

// Rows by descending score, all of them or those at `chosen`.
template <class Tag>
struct Sorted {
  const double* score;
  const Tag* tag;
  const RowNumber* chosen;  // or null

  _CCCL_HOST_DEVICE std::size_t at(std::int64_t i) const { return chosen == nullptr ? static_cast<std::size_t>(i) : chosen[i]; }
};
template <class Tag>
struct ScoreAt {
  Sorted<Tag> rows;
  _CCCL_HOST_DEVICE double operator()(std::int64_t i) const { return rows.score[rows.at(i)]; }
};
template <class Tag>
struct TieAt {
  Sorted<Tag> rows;
  _CCCL_HOST_DEVICE TieOf<Tag> operator()(std::int64_t i) const {
    const std::size_t at = rows.at(i);
    return rows.tag[at].tie(rows.score[at]);
  }
};

// Where Thrust takes what it needs in passing, so that it counts in the budget as buffers do.
struct Scratch {
  using value_type = std::byte;
  static std::byte* allocate(std::ptrdiff_t bytes) {
    return static_cast<std::byte*>(DeviceMemory::allocate(static_cast<std::size_t>(bytes)));
  }
  static void deallocate(std::byte* address, std::size_t bytes) { DeviceMemory::release(address, bytes); }
};
Scratch scratch;

auto policy(DeviceContext& device) {
#ifdef COTERIE_EMULATED
  device.compute.synchronize();  // its copies; what follows runs at once
  return thrust::device(scratch);
#else
  return thrust::cuda::par(scratch).on(device.compute.get());
#endif
}

constexpr std::size_t kPiecesOfStrip = 16;

// Two strips of pinned memory: one is copied while threads have the other.
template <class T>
struct Strips {
  struct Strip {
    PinnedBuffer<T> pinned;
    Event copied;  // the stream has left `pinned`, or filled it
  };
  static constexpr std::size_t kMaxSize = kPiecesOfStrip * kRowsOfPiece;
  std::size_t size;  // of one
  std::array<Strip, 2> strips;

  // For n elements in all.
  explicit Strips(std::size_t n)
      : size(std::min(n, kMaxSize)), strips{Strip{PinnedBuffer<T>(size), {}}, Strip{PinnedBuffer<T>(size), {}}} {}
};
std::size_t pinned_bytes(std::size_t n) { return 2 * std::min(n, Strips<double>::kMaxSize) * sizeof(WeightedTie); }

// Elements [begins[p], begins[p + 1]) are what fill(p, at) writes from `at`.
template <class T, class Fill>
DeviceBuffer<T> send(Context& context, DeviceContext& device, std::span<const std::int64_t> begins, Fill&& fill) {
  DeviceBuffer<T> to(static_cast<std::size_t>(begins.back()));
  Strips<T> strips(to.size());
  for (std::size_t first = 0; first + 1 < begins.size(); first += kPiecesOfStrip) {
    auto& strip = strips.strips[first / kPiecesOfStrip % 2];
    const std::size_t last = std::min(first + kPiecesOfStrip, begins.size() - 1);
    strip.copied.synchronize();
    context.parallel_for(static_cast<std::int64_t>(last - first), [&](std::int64_t i, int) {
      const std::size_t piece = first + static_cast<std::size_t>(i);
      fill(piece, strip.pinned.data() + (begins[piece] - begins[first]));
    });
    copy_to_device(to.data() + begins[first], strip.pinned.data(), static_cast<std::size_t>(begins[last] - begins[first]),
                   device.compute.get());
    strip.copied.record(device.compute);
  }
  device.compute.synchronize();
  return to;
}

template <class T>
UnwrittenVector<TiedScore> receive(Context& context, DeviceContext& device, const T* ties, std::size_t n_ties, Strips<T>& strips) {
  UnwrittenVector<TiedScore> groups(n_ties);
  const auto strip_of = [&](std::size_t first) -> auto& { return strips.strips[first / strips.size % 2]; };
  const auto n_at = [&](std::size_t first) { return std::min(strips.size, n_ties - first); };
  const auto order = [&](std::size_t first) {
    if (first >= n_ties) return;
    copy_to_host(strip_of(first).pinned.data(), ties + first, n_at(first), device.compute.get());
    strip_of(first).copied.record(device.compute);
  };
  order(0);
  for (std::size_t first = 0; first < n_ties; first += strips.size) {
    order(first + strips.size);
    const auto& strip = strip_of(first);
    strip.copied.synchronize();
    const auto n = static_cast<std::int64_t>(n_at(first));
    context.parallel_stretches(n, kRowsOfPiece, [&](std::int64_t begin, std::int64_t end) {
      for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i)
        groups[first + i] = strip.pinned.data()[i].wide();
    });
  }
  return groups;
}

// Ranks what the rows are sent as, a score and a Tag each.
template <class Tag>
class Ranking {
 public:
  static constexpr std::size_t kDeviceBytes = sizeof(double) + sizeof(Tag) + sizeof(TieOf<Tag>) + 2 * (sizeof(RowNumber) + sizeof(Segment));

  Ranking(Context& context, DeviceContext& device, const ScoredRows& rows, std::int32_t n_segments, std::span<const std::int64_t> begins)
      : context_(context), device_(device), n_segments_(n_segments) {
    score_ = send<double>(context, device, begins, [&](std::size_t piece, double* to) {
      for_each_counted(rows, static_cast<std::int64_t>(piece), n_segments, [&](double score, auto...) { *to++ = score; });
    });
    tag_ = send<Tag>(context, device, begins, [&](std::size_t piece, Tag* to) {
      for_each_counted(
          rows, static_cast<std::int64_t>(piece), n_segments,
          [&](double, std::int32_t weight, std::int32_t segment, bool positive) { *to++ = Tag::of(weight, segment, positive); });
    });
  }

  std::vector<RankedScores> run() {
    std::vector<RankedScores> ranked(static_cast<std::size_t>(n_segments_) + 1);
    const auto n = static_cast<std::int64_t>(score_.size());
    Strips<TieOf<Tag>> strips(score_.size());
    on_device([&] {
      thrust::stable_sort_by_key(policy(device_), score_.data(), score_.data() + n, tag_.data(), thrust::greater<double>{});
      ties_ = DeviceBuffer<TieOf<Tag>>(score_.size());
    });
    ranked.back().groups = groups({score_.data(), tag_.data(), nullptr}, n, strips);
    if (n_segments_ == 0) return ranked;
    DeviceBuffer<RowNumber> rows(score_.size());
    const std::vector<std::int64_t> end = on_device([&] { return part(rows); });
    for (std::size_t s = 0; s < end.size(); ++s) {
      const std::int64_t begin = s == 0 ? 0 : end[s - 1];
      ranked[s].groups = groups({score_.data(), tag_.data(), rows.data() + begin}, end[s] - begin, strips);
    }
    return ranked;
  }

  double seconds_on_device() const { return seconds_; }

 private:
  template <class F>
  auto on_device(F&& f) {
    struct Stopwatch {
      double& seconds;
      std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
      ~Stopwatch() { seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); }
    };
    const Stopwatch stopwatch{seconds_};
    return f();
  }

  // The places of the sorted rows by segment, within each as they were; where each segment ends.
  std::vector<std::int64_t> part(DeviceBuffer<RowNumber>& rows) {
    DeviceBuffer<Segment> segment(tag_.size());
    thrust::transform(policy(device_), tag_.data(), tag_.data() + tag_.size(), segment.data(), SegmentOf<Tag>{});
    thrust::sequence(policy(device_), rows.data(), rows.data() + rows.size());
    thrust::stable_sort_by_key(policy(device_), segment.data(), segment.data() + segment.size(), rows.data(), thrust::less<Segment>{});
    DeviceBuffer<std::int64_t> ends(static_cast<std::size_t>(n_segments_));
    thrust::upper_bound(policy(device_), segment.data(), segment.data() + segment.size(), thrust::counting_iterator<Segment>(0),
                        thrust::counting_iterator<Segment>(static_cast<Segment>(n_segments_)), ends.data());
    std::vector<std::int64_t> end(ends.size());
    copy_to_host(end.data(), ends.data(), end.size(), device_.compute.get());
    device_.compute.synchronize();
    return end;
  }

  UnwrittenVector<TiedScore> groups(const Sorted<Tag>& rows, std::int64_t n_rows, Strips<TieOf<Tag>>& strips) {
    const std::size_t n_ties = on_device([&] {
      const thrust::counting_iterator<std::int64_t> first(0);
      const auto score = thrust::make_transform_iterator(first, ScoreAt<Tag>{rows});
      const auto last =
          thrust::reduce_by_key(policy(device_), score, score + n_rows, thrust::make_transform_iterator(first, TieAt<Tag>{rows}),
                                thrust::make_discard_iterator(), ties_.data(), thrust::equal_to<double>{}, Join{});
      return static_cast<std::size_t>(last.second - ties_.data());
    });
    return receive(context_, device_, ties_.data(), n_ties, strips);
  }

  Context& context_;
  DeviceContext& device_;
  std::int32_t n_segments_;
  DeviceBuffer<double> score_;
  DeviceBuffer<Tag> tag_;
  DeviceBuffer<TieOf<Tag>> ties_;
  double seconds_ = 0;
};

std::vector<double> cuts(Context& context, DeviceContext& device, std::span<const double> score, const std::vector<std::int64_t>& ranks) {
  std::vector<std::int64_t> begins;
  for (std::int64_t row = 0; row < std::ssize(score); row += kRowsOfPiece) begins.push_back(row);
  begins.push_back(std::ssize(score));
  const DeviceBuffer<double> sorted = send<double>(context, device, begins, [&](std::size_t piece, double* to) {
    for (std::int64_t row = begins[piece]; row < begins[piece + 1]; ++row) *to++ = score[static_cast<std::size_t>(row)] + 0.0;
  });
  DeviceBuffer<double> found(ranks.size());
  DeviceBuffer<std::int64_t> at;
  upload(at, ranks, device.compute.get());
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

// f(the host memory), or what `otherwise` gives where memory does not allow it.
template <class F, class Otherwise>
auto if_it_fits(Context& context, const DeviceContext& device, const Need& need, F&& f, Otherwise&& otherwise) {
  if (static_cast<std::int64_t>(need.device_bytes) > std::min(device.memory_bytes, DeviceBudget::left())) return otherwise();
  auto memory = std::make_shared<Reservation>();
  if (!context.memory().try_reserve(static_cast<std::int64_t>(need.host_bytes), *memory)) return otherwise();
  try {
    return f(memory);
  } catch (const OutOfDeviceMemory&) {
  } catch (const thrust::system_error& error) {
    throw DeviceError(std::string("sorting scores on the device failed: ") + error.what() + ". Nothing was written. Use --device cpu");
  }
  memory.reset();
  return otherwise();
}

template <class Tag>
std::vector<RankedScores> rank_by(Context& context, DeviceContext& device, const ScoredRows& rows, std::int32_t n_segments,
                                  std::span<const std::int64_t> begins, double* seconds_on_device) {
  const auto n = static_cast<std::size_t>(begins.back());
  const Need need{n * Ranking<Tag>::kDeviceBytes, n * (n_segments > 0 ? 2 : 1) * sizeof(TiedScore) + pinned_bytes(n)};
  return if_it_fits(
      context, device, need,
      [&](const std::shared_ptr<const Reservation>& memory) {
        Ranking<Tag> ranking(context, device, rows, n_segments, begins);
        std::vector<RankedScores> ranked = ranking.run();
        for (RankedScores& scores : ranked) scores.memory = memory;
        if (seconds_on_device != nullptr) *seconds_on_device = ranking.seconds_on_device();
        return ranked;
      },
      [&] { return coterie::rank_scores(context, rows, n_segments); });
}

}  // namespace

std::vector<RankedScores> rank_scores(Context& context, DeviceContext& device, const ScoredRows& rows, std::int32_t n_segments,
                                      double* seconds_on_device) {
  const std::vector<std::int64_t> begins = count_rows(context, rows);
  if (begins.back() > std::numeric_limits<RowNumber>::max()) return coterie::rank_scores(context, rows, n_segments);
  const bool is_narrow = rows.weight.empty() && n_segments <= NarrowTag::kMaxSegments;
  return (is_narrow ? rank_by<NarrowTag> : rank_by<WideTag>)(context, device, rows, n_segments, begins, seconds_on_device);
}

std::vector<double> percentile_cuts(Context& context, DeviceContext& device, std::span<const double> score) {
  return if_it_fits(
      context, device, {2 * score.size_bytes(), pinned_bytes(score.size())},
      [&](const auto&) {
        std::vector<double> result;
        std::vector<std::int64_t> ranks;
        for (std::int32_t p = 1; p < kPercentiles; ++p) {
          const std::int64_t rank = last_rank(std::ssize(score), p);
          rank == 0 ? result.push_back(-std::numeric_limits<double>::infinity()) : ranks.push_back(rank - 1);
        }
        const std::vector<double> found = cuts(context, device, score, ranks);
        result.insert(result.end(), found.begin(), found.end());
        return result;
      },
      [&] { return coterie::percentile_cuts(context, score); });
}

}  // namespace coterie::COTERIE_GPU
