#include "io/result_reader.hpp"

#include <fmt/format.h>

#include <map>

#include "host/error.hpp"
#include "io/cell_kind.hpp"
#include "io/chunk_reader.hpp"
#include "io/result_file.hpp"
#include "io/stored_column.hpp"
#include "io/table_reader.hpp"
#include "io/text.hpp"
#include "io/text_cells.hpp"

namespace coterie::io {
namespace {

[[noreturn]] void refuse(const InputFile& file, const std::string& path, const std::string& what) {
  throw InputError(fmt::format("file '{}', '/{}': {}; nothing was written", file.path().string(), path, what));
}

std::optional<CellType> type_of(CellKind kind) {
  switch (kind) {
    case CellKind::boolean: return CellType::boolean;
    case CellKind::int8:
    case CellKind::int16:
    case CellKind::int32: return CellType::int32;
    case CellKind::int64: return CellType::int64;
    case CellKind::float32: return CellType::float32;
    case CellKind::float64: return CellType::float64;
    case CellKind::text: return CellType::text;
    default: return std::nullopt;
  }
}

RowColumn describe_column(const InputFile& file, const std::string& name, std::int64_t n_rows) {
  const auto stored = find_column(file, "obs/" + name);
  if (!stored || stored->form == StoredColumn::Form::nullable) refuse(file, "obs/" + name, "it is no column that coterie writes");
  if (stored->n_rows != n_rows) refuse(file, stored->cells, fmt::format("{} rows, but there are {} customers", stored->n_rows, n_rows));
  const hdf5::Dataset dataset = open_guarded(file, stored->cells);
  const auto type = type_of(cell_kind(dataset));
  if (!type) refuse(file, stored->cells, "its cells are " + describe_cells(dataset) + ", which coterie does not write");
  RowColumn column{.name = name, .type = *type};
  if (stored->form == StoredColumn::Form::categorical)
    column.categories = std::get<std::vector<std::string>>(read_value(file, stored->companion));
  const hdf5::Lock lock;
  if (*type == CellType::text) column.text_bytes = static_cast<std::int64_t>(H5Tget_size(hdf5::type_of(dataset).id()));
  return column;
}

struct OpenColumn {
  hdf5::Dataset dataset;
  std::unique_ptr<ChunkReader> chunks;  // nullptr: HDF5 reads them
};

template <class T>
std::vector<T> read_cells(const OpenColumn& column, std::int64_t first_row, std::int64_t n_rows) {
  std::vector<T> cells(static_cast<std::size_t>(n_rows));
  if (n_rows == 0) return cells;
  if (column.chunks)
    column.chunks->read(first_row, n_rows, cells.data());
  else
    hdf5::read_rows(column.dataset, first_row, n_rows, cells.data());
  return cells;
}

std::vector<std::string> read_text_cells(const hdf5::Dataset& dataset, std::int64_t first_row, std::int64_t n_rows) {
  std::vector<std::string> cells;
  for_each_text(dataset, first_row, n_rows,
                [&](std::int64_t, std::optional<std::string_view> text) { cells.emplace_back(text.value_or("")); });
  return cells;
}

std::vector<std::int32_t> read_codes(const InputFile& file, const RowColumn& column, const OpenColumn& open, std::int64_t first_row,
                                     std::int64_t n_rows) {
  std::vector<std::int32_t> codes = read_cells<std::int32_t>(open, first_row, n_rows);
  for (std::size_t i = 0; i < codes.size() && !column.categories.empty(); ++i)
    if (codes[i] < -1 || codes[i] >= std::ssize(column.categories))
      refuse(file, "obs/" + column.name,
             fmt::format("the code in row {} names none of its categories", first_row + static_cast<std::int64_t>(i)));
  return codes;
}

}  // namespace

Cells view(const ColumnCells& cells) {
  return std::visit([]<class T>(const std::vector<T>& values) -> Cells { return std::span<const T>(values); }, cells);
}

struct ResultReader::State {
  Context* context;
  std::shared_ptr<const InputFile> file;
  std::int64_t n_rows = 0;
  std::vector<RowColumn> columns;          // the ids first
  std::map<std::string, OpenColumn> open;  // by name, on first use: the last chunks are remembered

  const OpenColumn& open_column(const RowColumn& column) {
    auto [entry, is_new] = open.try_emplace(column.name);
    if (!is_new) return entry->second;
    entry->second.dataset = open_guarded(*file, "obs/" + column.name + (column.categories.empty() ? "" : "/codes"));
    if (context != nullptr) entry->second.chunks = ChunkReader::make(*context, entry->second.dataset);
    return entry->second;
  }
};

ResultReader::ResultReader(const std::filesystem::path& path, Context* context) : state_(new State{context, InputFile::open(path)}) {
  const InputFile& file = *state_->file;
  check_schema(file, kResultSchema, kResultSchemaVersion);
  const Value id = read_value(file, "uns/coterie/roles/id");
  const auto* id_name = std::get_if<std::string>(&id);
  if (id_name == nullptr) refuse(file, "uns/coterie/roles/id", "it is not the name of a column");
  const auto ids = find_column(file, "obs/" + *id_name);
  if (!ids) refuse(file, "obs/" + *id_name, "there are no ids");
  state_->n_rows = ids->n_rows;
  state_->columns.push_back(describe_column(file, *id_name, state_->n_rows));
  for (const std::string& name : hdf5::read_strings_attribute(hdf5::open_group(file.id(), "obs").id(), "column-order"))
    if (name != *id_name) state_->columns.push_back(describe_column(file, name, state_->n_rows));
}

ResultReader::~ResultReader() = default;
ResultReader::ResultReader(ResultReader&&) noexcept = default;

std::filesystem::path ResultReader::path() const { return state_->file->path(); }
std::int64_t ResultReader::n_rows() const { return state_->n_rows; }
std::string ResultReader::id_name() const { return state_->columns.front().name; }
const std::vector<RowColumn>& ResultReader::columns() const { return state_->columns; }

ColumnCells ResultReader::rows(const RowColumn& column, std::int64_t first_row, std::int64_t n_rows) const {
  const OpenColumn& open = state_->open_column(column);
  switch (column.type) {
    case CellType::boolean: return read_cells<std::uint8_t>(open, first_row, n_rows);
    case CellType::int32: return read_codes(*state_->file, column, open, first_row, n_rows);
    case CellType::int64: return read_cells<std::int64_t>(open, first_row, n_rows);
    case CellType::float32: return read_cells<float>(open, first_row, n_rows);
    case CellType::float64: return read_cells<double>(open, first_row, n_rows);
    case CellType::text: return read_text_cells(open.dataset, first_row, n_rows);
  }
  throw InternalError("a column has no cell type");
}

bool ResultReader::contains(const std::string& path) const { return hdf5::exists(state_->file->id(), path); }
DataFrame ResultReader::frame(const std::string& path) const { return read_frame(*state_->file, path); }
Matrix ResultReader::matrix(const std::string& path) const { return read_matrix(*state_->file, path); }
Value ResultReader::value(const std::string& path) const { return read_value(*state_->file, path); }
std::vector<std::string> ResultReader::names(const std::string& path) const {
  return hdf5::children(hdf5::open_group(state_->file->id(), path).id());
}

}  // namespace coterie::io
