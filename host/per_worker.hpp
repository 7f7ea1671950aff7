// What the workers of a parallel loop gather, each for itself.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "host/context.hpp"

namespace coterie {

// Each worker's is made when that worker first asks for it: a few rows cost what a few workers need, however many threads there are.
template <class T>
class PerWorker {
 public:
  PerWorker() = default;
  PerWorker(const Context& context, std::function<T()> make)
      : make_(std::move(make)), items_(static_cast<std::size_t>(context.threads())) {}

  // Of a worker of Context::parallel_for, whom no two threads are at once.
  T& of(std::size_t worker) {
    std::unique_ptr<T>& item = items_[worker];
    if (!item) item = std::make_unique<T>(make_());
    return *item;
  }

  // Those of the workers that have asked; where none has, the first one's as it was made.
  std::vector<T*> made() {
    std::vector<T*> all;
    for (const std::unique_ptr<T>& item : items_)
      if (item) all.push_back(item.get());
    if (all.empty()) all.push_back(&of(0));
    return all;
  }

 private:
  std::function<T()> make_;
  std::vector<std::unique_ptr<T>> items_;  // (threads)
};

// Lists of sums that merge by add(), place by place.
template <class Sums>
std::vector<Sums> added_up(PerWorker<std::vector<Sums>>&& workers) {
  PerWorker<std::vector<Sums>> gathered = std::move(workers);
  const std::vector<std::vector<Sums>*> made = gathered.made();
  std::vector<Sums> total = std::move(*made.front());
  for (std::size_t worker = 1; worker < made.size(); ++worker)
    for (std::size_t i = 0; i < total.size(); ++i) total[i].add((*made[worker])[i]);
  return total;
}

}  // namespace coterie
