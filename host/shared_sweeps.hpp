// Many fits in shared sweeps: restarts and numbers of segments read the rows together, as many at a time as their sums
// fit into memory, until every one of them has settled.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "host/context.hpp"
#include "host/passes.hpp"

namespace coterie {

// One restart of one params entry on its way.
template <class Model, class Params>
struct Job {
  Model model;
  const Params* params;
};

// What the ledger is asked for: `what` names it in messages, bytes_of(model) is for one worker.
template <class BytesOf>
struct SumsMemory {
  std::string_view what;
  BytesOf bytes_of;
};
template <class BytesOf>
SumsMemory(const char*, BytesOf) -> SumsMemory<BytesOf>;

// The unsettled jobs that share the next sweep: as many as the ledger's free memory holds, at least one.
template <class Job, class BytesOf>
std::vector<Job*> next_group(Context& context, std::vector<Job>& jobs, const SumsMemory<BytesOf>& memory, Reservation& scratch) {
  std::vector<Job*> group;
  std::int64_t bytes = 0;
  for (Job& job : jobs) {
    if (job.model.settled) continue;
    const std::int64_t more = memory.bytes_of(job.model) * (context.threads() + 1);
    if (!group.empty() && bytes + more > context.memory().available()) break;
    bytes += more;
    group.push_back(&job);
  }
  if (!group.empty()) scratch = context.memory().reserve(memory.what, bytes);
  return group;
}

// update(model, statistics, params) until all models are settled. Returns the number of sweeps.
template <class Model, class Params, class Pass, class BytesOf, class Update>
std::int64_t sweep_until_settled(Context& context, TileSource& source, Pass& pass, std::vector<Job<Model, Params>>& jobs,
                                 const SumsMemory<BytesOf>& memory, Update&& update) {
  std::int64_t sweeps = 0;
  for (Reservation scratch;; ++sweeps) {
    scratch.release();
    const auto group = next_group(context, jobs, memory, scratch);
    if (group.empty()) return sweeps;
    std::vector<const Model*> models(group.size());
    for (std::size_t m = 0; m < group.size(); ++m) models[m] = &group[m]->model;
    const auto statistics = reduce_tiles(context, source, pass, std::span<const Model* const>(models));
    for (std::size_t m = 0; m < group.size(); ++m) update(group[m]->model, statistics.models[m], *group[m]->params);
  }
}

}  // namespace coterie
