#include "io/feature_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "host/error.hpp"
#include "host/repeat_counter.hpp"
#include "io/file_digest.hpp"
#include "io/layout.hpp"
#include "io/matrix_source.hpp"
#include "io/text.hpp"
#include "io/text_cells.hpp"

namespace coterie::io {
namespace {

class Hdf5FeatureFile final : public FeatureFile {
 public:
  Hdf5FeatureFile(std::shared_ptr<const InputFile> file, FeatureLayout layout) : file_(std::move(file)), layout_(std::move(layout)) {
    for (const StoredColumn& column : layout_.obs) obs_.push_back({column.name, column.is_text, column.is_narrow});
    if (!layout_.ids) return;
    ids_ = open_guarded(*file_, layout_.ids->cells);
    ids_kind_ = cell_kind(ids_);
  }

  std::filesystem::path path() const override { return file_->path(); }
  std::int64_t n_rows() const override { return layout_.matrix.n_rows; }
  const std::vector<FeatureColumn>& columns() const override { return layout_.columns; }
  const std::vector<ObsColumn>& obs() const override { return obs_; }
  const ObsRoles& roles() const override { return layout_.roles; }
  std::optional<std::string> misshapen(const std::string& name) const override {
    const auto found = layout_.misshapen.find(name);
    return found == layout_.misshapen.end() ? std::nullopt : std::optional(found->second);
  }

  std::unique_ptr<TileSource> tiles(Context& context) const override {
    return std::make_unique<MatrixSource>(context, file_, layout_.matrix);
  }

  std::string id_name() const override { return layout_.id_name; }
  bool has_integer_ids() const override { return ids_kind_ != CellKind::text; }
  std::int64_t longest_id() const override;
  Ids ids(std::int64_t first_row, std::int64_t n_rows) const override;

  std::vector<double> numbers(const std::string& obs_column) const override { return read_numbers(*file_, find_obs(obs_column)); }
  Categories categories(const std::string& obs_column, Context* context) const override {
    return read_categories(*file_, find_obs(obs_column), context);
  }
  std::optional<Categories> few_categories(const std::string& obs_column, std::size_t most, Context* context) const override {
    return read_few_categories(*file_, find_obs(obs_column), most, context);
  }
  std::vector<std::int32_t> level_codes(const std::string& obs_column, const std::vector<std::string>& levels,
                                        Context* context) const override {
    return read_level_codes(*file_, find_obs(obs_column), levels, context);
  }
  void start_fingerprint() const override {
    if (!digest_) digest_.emplace(file_);
  }
  std::string fingerprint() const override;

 private:
  const StoredColumn& find_obs(const std::string& name) const;
  std::vector<std::int64_t> integer_ids(std::int64_t first_row, std::int64_t n_rows) const;
  std::vector<std::string> text_ids(std::int64_t first_row, std::int64_t n_rows) const;
  [[noreturn]] void refuse_id(std::int64_t row, const char* what) const;

  std::shared_ptr<const InputFile> file_;
  FeatureLayout layout_;
  std::vector<ObsColumn> obs_;
  hdf5::Dataset ids_;  // kept open, so that reading ranges one after the other decodes a chunk once
  CellKind ids_kind_ = CellKind::int64;
  mutable std::optional<FileDigest> digest_;
};

const StoredColumn& Hdf5FeatureFile::find_obs(const std::string& name) const {
  const auto found = std::find_if(layout_.obs.begin(), layout_.obs.end(), [&](const StoredColumn& column) { return column.name == name; });
  if (found != layout_.obs.end()) return *found;
  std::vector<std::string> known;
  for (const ObsColumn& column : obs_) known.push_back(shown(column.name));
  throw ContentsError(fmt::format("file '{}': there is no column {} of customers that can be read; there are: {}; nothing was written",
                                  path().string(), shown(name), known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", "))));
}

void Hdf5FeatureFile::refuse_id(std::int64_t row, const char* what) const {
  throw ContentsError(fmt::format("{}: the id in row {} (counted from 0) {}; nothing was written", hdf5::describe(ids_.id()), row, what));
}

std::int64_t Hdf5FeatureFile::longest_id() const {
  std::size_t longest = 0;
  if (!has_integer_ids())
    for_each_text(ids_, 0, n_rows(),
                  [&](std::int64_t, std::optional<std::string_view> id) { longest = std::max(longest, id.value_or("").size()); });
  return static_cast<std::int64_t>(longest);
}

Ids Hdf5FeatureFile::ids(std::int64_t first_row, std::int64_t n_rows) const {
  if (has_integer_ids()) return integer_ids(first_row, n_rows);
  return text_ids(first_row, n_rows);
}

std::vector<std::int64_t> Hdf5FeatureFile::integer_ids(std::int64_t first_row, std::int64_t n_rows) const {
  std::vector<std::int64_t> ids(static_cast<std::size_t>(n_rows));
  if (!layout_.ids)
    std::iota(ids.begin(), ids.end(), first_row);
  else
    hdf5::read_rows(ids_, first_row, n_rows, ids.data());
  if (ids_kind_ == CellKind::uint64)  // HDF5 turns what int64 cannot hold into its largest value
    if (const auto bad = std::find(ids.begin(), ids.end(), INT64_MAX); bad != ids.end())
      refuse_id(first_row + (bad - ids.begin()), "is beyond 2^63 - 2; store such ids as text");
  return ids;
}

std::vector<std::string> Hdf5FeatureFile::text_ids(std::int64_t first_row, std::int64_t n_rows) const {
  std::vector<std::string> ids(static_cast<std::size_t>(n_rows));
  for_each_text(ids_, first_row, n_rows, [&](std::int64_t row, std::optional<std::string_view> id) {
    if (!id) refuse_id(row, "was never written");
    ids[static_cast<std::size_t>(row - first_row)] = *id;
  });
  return ids;
}

std::string Hdf5FeatureFile::fingerprint() const {
  start_fingerprint();
  return digest_->hex();
}

}  // namespace

std::unique_ptr<FeatureFile> FeatureFile::open(const std::filesystem::path& path, const FeatureFileOptions& options) {
  auto file = InputFile::open(path);
  FeatureLayout layout =
      detect_layout(*file, options) == Layout::anndata ? read_anndata_layout(*file, options) : read_plain_layout(*file, options);
  return std::make_unique<Hdf5FeatureFile>(std::move(file), std::move(layout));
}

std::int64_t count_duplicate_ids(const FeatureFile& file, Context& context) {
  const std::int64_t n = file.n_rows();
  RepeatCounter counter(context.memory(), n);
  for (std::int64_t row = 0; row < n; row += 16 * kBlockRows) {  // 65536 ids at a time
    context.check_cancelled();
    const Ids ids = file.ids(row, std::min(16 * kBlockRows, n - row));
    std::visit(
        [&](const auto& range) {
          for (const auto& id : range) counter.add(id);
        },
        ids);
  }
  counter.finish(context);
  return counter.repeats();
}

}  // namespace coterie::io
