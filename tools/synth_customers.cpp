#include "tools/synth_customers.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/tile.hpp"
#include "io/atomic_output.hpp"
#include "io/feature_writer.hpp"
#include "tools/table.hpp"

namespace coterie::tools {
namespace {

constexpr std::int64_t kMostTileBytes = std::int64_t{32} << 20;
constexpr std::int64_t kShareOfMemory = 4;  // a tile takes at most this part of what is left
constexpr const char* kMechanisms[] = {
    "", "one order only", "no active day", "completely at random", "at random given emails", "by its own value"};

io::FeatureFileLayout layout_of(const CustomerSynthOptions& options, bool compressed) {
  io::FeatureFileLayout layout;
  layout.n_rows = options.rows;
  layout.compressed = compressed;
  for (const SynthColumn& column : synth_columns(options.month))
    layout.columns.push_back({.name = column.name,
                              .role = column.describes ? io::Role::profile : io::Role::active,
                              .layer = column.layer,
                              .weight = column.weight,
                              .onehot_of = {},
                              .sensitive = column.sensitive});
  layout.obs.push_back({.name = "customer_id", .type = io::CellType::int64});
  for (const SynthCodeColumn& column : synth_codes()) {
    layout.obs.push_back({.name = column.name, .type = io::CellType::int32, .categories = column.categories});
    if (column.is_date) layout.roles.dates.push_back(column.name);
  }
  for (const std::string& name : synth_numbers()) layout.obs.push_back({.name = name, .type = io::CellType::float64});
  layout.roles.outcomes = {"churned", "converted", "upgraded"};
  layout.roles.value = "value";
  layout.roles.treatment = "treated";
  return layout;
}

void write_truth(io::H5adWriter& file, const CustomerSynthOptions& options) {
  io::DataFrame personas{.index_name = "persona", .index = {}, .columns = {}};
  std::vector<double> shares, effects;
  for (const SynthPersona& persona : synth_personas()) {
    personas.index.push_back(persona.name);
    shares.push_back(persona.share);
    effects.push_back(persona.treatment_effect);
  }
  personas.columns.emplace_back("share", std::move(shares));
  personas.columns.emplace_back("treatment_log_odds", std::move(effects));
  io::DataFrame columns{.index_name = "feature", .index = {}, .columns = {}};
  std::vector<std::string> missing;
  std::vector<double> drift;
  for (const SynthColumn& column : synth_columns(options.month)) {
    columns.index.push_back(column.name);
    missing.emplace_back(kMechanisms[static_cast<std::size_t>(column.missing)]);
    drift.push_back(column.drift);
  }
  columns.columns.emplace_back("missing", std::move(missing));
  columns.columns.emplace_back("drift", std::move(drift));
  file.write_frame("uns/truth/personas", personas);
  file.write_frame("uns/truth/columns", columns);
  file.write_value("uns/truth/month", std::int64_t{options.month});
  file.write_value("uns/truth/as_of", std::int64_t{synth_as_of(options.month)});  // as the dates of obs
  file.write_value("uns/truth/treatment", std::string("treated"));
  file.write_value("uns/truth/treated_share", 0.5);
  file.write_value("uns/truth/moved_share_per_month", kSynthMoveShare);
  file.write_value("uns/truth/order_value_tail_index", kSynthTailIndex);
}

std::int64_t tile_rows(Session& session, const io::FeatureFileLayout& layout, Reservation& memory) {
  const std::int64_t row_bytes = io::estimated_bytes(layout) / layout.n_rows + 1;
  MemoryLedger& ledger = session.context().memory();
  const std::int64_t bytes = std::min(kMostTileBytes, ledger.available() / kShareOfMemory);
  const std::int64_t rows = std::max<std::int64_t>(1, bytes / row_bytes / kBlockRows) * kBlockRows;
  memory = ledger.reserve("a tile of synthetic customers",
                          std::min(rows, layout.n_rows) * row_bytes + io::stream_bytes(layout.obs, layout.n_rows));
  return rows;
}

void write_rows(Session& session, const CustomerSynthOptions& options, std::int64_t rows_at_once, io::FeatureWriter& writer) {
  SynthCustomers customers;
  std::vector<std::int64_t> ids;
  for (std::int64_t row = 0; row < options.rows; row += rows_at_once) {
    const std::int64_t n_rows = std::min(rows_at_once, options.rows - row);
    generate_customers(session.context(), options, row, n_rows, customers);
    ids.resize(static_cast<std::size_t>(n_rows));
    for (std::int64_t i = 0; i < n_rows; ++i) ids[static_cast<std::size_t>(i)] = options.first_row + row + i;
    std::vector<io::Cells> obs{std::span<const std::int64_t>(ids)};
    for (const auto& codes : customers.codes) obs.emplace_back(std::span<const std::int32_t>(codes));
    for (const auto& numbers : customers.numbers) obs.emplace_back(std::span<const double>(numbers));
    writer.write(row, std::span<const float>(customers.x), obs);
    session.context().report({"synth", row + n_rows, options.rows});
  }
}

}  // namespace

void synth_customers(Session& session, const CustomerSynthOptions& options, const OutputOptions& output, bool compressed) {
  const io::FeatureFileLayout layout = layout_of(options, compressed);
  session.progress().set_row_bytes(std::int64_t{4} * std::ssize(layout.columns));
  Reservation memory;
  const std::int64_t rows_at_once = tile_rows(session, layout, memory);
  io::AtomicOutput file({output.path, output.overwrite, {}, io::estimated_bytes(layout)});
  io::FeatureWriter writer(file, layout, &session.context());
  write_truth(writer.file(), options);
  write_rows(session, options, rows_at_once, writer);
  session.context().check_cancelled();
  writer.commit();
  session.say(
      fmt::format("{} customers, {} features, {} personas (obs/true_persona, by the order of uns/truth/personas): {}. Next: coterie run {} "
                  "-o result.h5ad",
                  with_separators(options.rows), layout.columns.size(), synth_personas().size(), output.path, output.path));
}

}  // namespace coterie::tools
