// coterie synth: synthetic customers with planted personas, for trying things out and for benchmarks.
#include "host/synth.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "host/error.hpp"
#include "io/atomic_output.hpp"
#include "io/feature_writer.hpp"
#include "tools/description.hpp"
#include "tools/options.hpp"
#include "tools/session.hpp"
#include "tools/synth_customers.hpp"
#include "tools/verbs.hpp"

namespace coterie::tools {

namespace {

struct SynthRequest {
  ResourceOptions resources;
  SynthOptions synth;
  OutputOptions output;
  std::vector<std::string> outcomes;  // names
  bool realistic = false;             // --kind customers
  std::int32_t month = 1;
  bool compressed = false;
};

io::FeatureFileLayout layout_of(const SynthRequest& request) {
  const SynthOptions& synth = request.synth;
  io::FeatureFileLayout layout;
  layout.n_rows = synth.rows;
  layout.compressed = request.compressed;
  const std::size_t width = std::to_string(synth.features - 1).size();
  for (std::int32_t j = 0; j < synth.features; ++j) layout.columns.push_back({.name = fmt::format("x{:0{}}", j, width)});
  layout.obs.push_back({.name = "customer_id", .type = io::CellType::int64});
  layout.obs.push_back({.name = "persona", .type = io::CellType::int32});
  for (const std::string& outcome : request.outcomes) {
    layout.obs.push_back({.name = outcome, .type = io::CellType::int32});
    layout.obs.push_back({.name = outcome + "_probability", .type = io::CellType::float64});
  }
  layout.roles.outcomes = request.outcomes;
  return layout;
}

struct PlantedOutcome {  // of one tile
  std::vector<std::int32_t> happened;
  std::vector<double> probability;
};

void write_rows(Session& session, const SynthRequest& request, io::FeatureWriter& writer) {
  const SynthOptions& synth = request.synth;
  // Tiles of about 16 MiB: large enough to stream, small beside any budget.
  const std::int64_t tile_rows = std::max(kBlockRows, (std::int64_t{4} << 20) / synth.features / kBlockRows * kBlockRows);
  std::vector<float> x;
  std::vector<std::int32_t> persona;
  std::vector<std::int64_t> ids;
  std::vector<PlantedOutcome> outcomes(request.outcomes.size());
  for (std::int64_t row = 0; row < synth.rows; row += tile_rows) {
    const std::int64_t n_rows = std::min(tile_rows, synth.rows - row);
    x.resize(static_cast<std::size_t>(n_rows * synth.features));
    persona.resize(static_cast<std::size_t>(n_rows));
    ids.resize(static_cast<std::size_t>(n_rows));
    generate(session.context(), synth, row, n_rows, x.data(), persona.data());
    for (std::int64_t i = 0; i < n_rows; ++i) ids[static_cast<std::size_t>(i)] = synth.first_row + row + i;
    std::vector<io::Cells> obs{std::span<const std::int64_t>(ids), std::span<const std::int32_t>(persona)};
    for (std::size_t o = 0; o < outcomes.size(); ++o) {
      outcomes[o].happened.resize(static_cast<std::size_t>(n_rows));
      outcomes[o].probability.resize(static_cast<std::size_t>(n_rows));
      plant_outcome(session.context(), synth, static_cast<std::int32_t>(o), row, n_rows, x.data(), outcomes[o].probability.data(),
                    outcomes[o].happened.data());
      obs.insert(obs.end(), {std::span<const std::int32_t>(outcomes[o].happened), std::span<const double>(outcomes[o].probability)});
    }
    writer.write(row, std::span<const float>(x), obs);
    session.context().report({"synth", row + n_rows, synth.rows});
  }
}

void synth_blobs(const SynthRequest& request) {
  Session session(request.resources);
  session.progress().set_row_bytes(std::int64_t{4} * request.synth.features);
  const io::FeatureFileLayout layout = layout_of(request);
  io::AtomicOutput output({request.output.path, request.output.overwrite, {}, io::estimated_bytes(layout)});
  io::FeatureWriter writer(output, layout, &session.context());
  write_rows(session, request, writer);
  session.context().check_cancelled();
  writer.commit();
  session.say(fmt::format("{} customers, {} features, {} personas (obs/persona): {}. Next: coterie run {} -o result.h5ad",
                          request.synth.rows, request.synth.features, request.synth.personas, request.output.path, request.output.path));
}

void synth(SynthRequest request) {
  request.synth.seed = request.resources.seed;
  if (!request.realistic) return synth_blobs(request);
  Session session(request.resources);
  const SynthOptions& synth = request.synth;
  synth_customers(session, {.rows = synth.rows, .seed = synth.seed, .first_row = synth.first_row, .month = request.month}, request.output,
                  request.compressed);
}

// Options that shape one kind of table and would be ignored by the other.
void refuse_options(const CLI::App& app, const SynthRequest& request) {
  const std::vector<std::string> foreign =
      request.realistic ? std::vector<std::string>{"--features", "--personas", "--outcomes"} : std::vector<std::string>{"--month"};
  for (const std::string& option : foreign)
    if (app.count(option) > 0)
      throw ArgumentError(
          fmt::format("{} is for --kind {}: {}. Nothing was written.", option, request.realistic ? "blobs" : "customers",
                      request.realistic ? "customers have columns, personas and outcomes of their own" : "blobs know no time"));
}

}  // namespace

Verb add_synth(CLI::App& root) {
  CLI::App* app =
      add_verb(root, "synth", "Make synthetic customers with planted personas", "-o shop.h5ad --kind customers --rows 1000000 --seed 7");
  auto request = std::make_shared<SynthRequest>();
  add_output(*app, request->output, "");
  add_choice<bool>(*app, "--kind", request->realistic, {{"blobs", false}, {"customers", true}},
                   "blobs: normal deviates around --personas centers; customers: six named personas who buy, visit, churn and convert "
                   "as real ones do, with the truth beside them");
  add_number<std::int64_t>(*app, "--rows", request->synth.rows, 1, std::int64_t{1} << 40, "Customers")->required();
  add_number(*app, "--features", request->synth.features, 1, 1 << 20, "Columns of blobs");
  add_number(*app, "--personas", request->synth.personas, 1, 1 << 20, "Planted groups of blobs");
  add_number<std::int64_t>(*app, "--first-row", request->synth.first_row, 0, std::int64_t{1} << 40,
                           "Rows of the endless table to leave out: the same personas, other customers");
  app->add_option("--outcomes", request->outcomes, "Names of two-valued outcomes to plant in blobs, each with its true NAME_probability")
      ->delimiter(',');
  add_number(*app, "--month", request->month, 1, kMostSynthMonths,
             "The same customers so many months later, the first being 1: some have moved to another persona, some columns drift");
  app->add_flag("--compressed", request->compressed, "Store the matrix in compressed chunks instead of contiguously");
  add_resources(*app, request->resources);
  return {app, [app, request] {
            refuse_options(*app, *request);
            synth(*request);
          }};
}

}  // namespace coterie::tools
