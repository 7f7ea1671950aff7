#include "io/external_sort.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace coterie::io {
namespace {

constexpr std::size_t kWriteBytes = std::size_t{1} << 20;           // per system call
constexpr std::size_t kMostReadBytes = std::size_t{4} << 20;        // likewise
constexpr std::int64_t kMostBufferBytes = std::int64_t{512} << 20;  // longer runs only make Ctrl-C wait for longer sorts

void append(std::vector<std::byte>& to, const void* from, std::size_t size) {
  const auto* bytes = static_cast<const std::byte*>(from);
  to.insert(to.end(), bytes, bytes + size);
}

}  // namespace

ExternalSort::ExternalSort(Context& context, Options options)
    : context_(context),
      options_(std::move(options)),
      memory_(context.memory().reserve(options_.purpose.what, std::min(options_.memory_bytes, kMostBufferBytes))),
      file_(options_.folder, options_.purpose) {
  const auto bytes = static_cast<std::size_t>(memory_.bytes());
  most_entries_ = std::max<std::size_t>(1, bytes / (sizeof(Entry) + options_.record_bytes));
  entries_.reserve(most_entries_);
  records_ = std::make_unique_for_overwrite<std::byte[]>(most_entries_ * options_.record_bytes);
}

std::byte* ExternalSort::add(const SortKey& key) {
  if (entries_.size() == most_entries_) write_run();
  entries_.push_back({key, entries_.size()});
  ++n_records_;
  return records_.get() + entries_.back().record * options_.record_bytes;
}

void ExternalSort::write_run() {
  context_.check_cancelled();
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.key < b.key; });
  Run run{.next = file_.size(), .end = 0, .buffer = {}};
  std::vector<std::byte> sorted;
  const auto flush = [&] {
    context_.check_cancelled();
    file_.append(sorted);
    sorted.clear();
  };
  for (const Entry& entry : entries_) {
    append(sorted, &entry.key, sizeof entry.key);
    append(sorted, records_.get() + entry.record * options_.record_bytes, options_.record_bytes);
    if (sorted.size() >= kWriteBytes) flush();
  }
  flush();
  run.end = file_.size();
  runs_.push_back(std::move(run));
  entries_.clear();
}

void ExternalSort::finish() {
  if (!entries_.empty()) write_run();
  entries_ = {};
  records_.reset();
  const std::size_t record = sizeof(SortKey) + options_.record_bytes, n_runs = std::max<std::size_t>(1, runs_.size());
  const std::size_t share = std::min(static_cast<std::size_t>(options_.memory_bytes) / n_runs, kMostReadBytes);
  run_buffer_bytes_ = std::max<std::size_t>(1, share / record) * record;
  memory_.release();
  memory_ = context_.memory().reserve(options_.purpose.what, static_cast<std::int64_t>(n_runs * run_buffer_bytes_));
  for (std::size_t run = 0; run < runs_.size(); ++run) push_head(run);
  current_ = runs_.size();
}

const std::byte* ExternalSort::next(SortKey& key) {
  if (current_ < runs_.size()) {
    runs_[current_].position += sizeof(SortKey) + options_.record_bytes;
    push_head(current_);
  }
  current_ = runs_.size();
  if (heads_.empty()) return nullptr;
  key = heads_.top().key;
  current_ = heads_.top().run;
  heads_.pop();
  return runs_[current_].buffer.data() + runs_[current_].position + sizeof(SortKey);
}

// Of a run that has records left.
void ExternalSort::push_head(std::size_t i) {
  Run& run = runs_[i];
  if (run.position == run.buffer.size()) {
    context_.check_cancelled();
    run.buffer.resize(std::min(run_buffer_bytes_, static_cast<std::size_t>(run.end - run.next)));
    file_.read(run.next, run.buffer);
    run.next += std::ssize(run.buffer);
    run.position = 0;
    if (run.buffer.empty()) return;
  }
  Head head{.key = {}, .run = i};
  std::memcpy(&head.key, run.buffer.data() + run.position, sizeof head.key);
  heads_.push(head);
}

}  // namespace coterie::io
