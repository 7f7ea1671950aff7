// An input file of customers: a numeric matrix, ids, and columns beside it. Opened read-only and never changed.
// Layouts, by detection: AnnData .h5ad, then plain HDF5 (h5py) with --x/--ids/--names or heuristics. Layouts that are
// recognised but not read (HDFStore, Parquet, sparse X, ...) raise InputError with the one-line converter.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "host/context.hpp"
#include "host/tile_source.hpp"

namespace coterie::io {

enum class Role { active, profile, ignore };  // drives clusters; only describes; not used

struct FeatureColumn {  // one column of X, from var
  std::string name;
  Role role = Role::active;
  std::string layer;             // "" when the file names none
  std::optional<double> weight;  // var/weight
  std::string onehot_of;         // the text column this indicator was made from, or ""
  bool sensitive = false;        // var/sensitive: describes segments and, unless it is allowed, drives none
};

struct ObsColumn {  // one column beside X
  std::string name;
  bool is_category = false;  // categorical or text; else a number (integer, float, bool, nullable)
  bool is_narrow = false;    // a number in float32
};

struct Categories {
  std::vector<std::string> levels;
  std::vector<std::int32_t> codes;  // (n_rows), -1 where missing
  Reservation memory = {};          // of the levels
};

using Ids = std::variant<std::vector<std::int64_t>, std::vector<std::string>>;

// Which obs column plays which part: uns/coterie/roles of the file, overridden by options.
struct ObsRoles {
  std::string weight;                 // row weight, or ""
  std::vector<std::string> outcomes;  // two-valued: churned, bought, ...
  std::string value;                  // revenue or the like, or ""
  // (outcomes.size()) the text that became 1 when an outcome was imported, or ""; empty where nothing is recorded
  std::vector<std::string> positives = {};
  std::string treatment = {};           // who was treated, or ""; like dates, it predicts nothing
  std::vector<std::string> dates = {};  // signup, last_order, ...: numbers are days since 1970-01-01
};

struct FeatureFileOptions {
  std::string x;      // dataset path of the matrix; "" detects
  std::string ids;    // dataset path of the ids; "" detects or uses row numbers
  std::string names;  // dataset path of the column names; "" detects or makes x0, x1, ...
};

class FeatureFile {
 public:
  // InputError (missing, empty, truncated, not HDF5, dataset not found with the candidates, ...), ContentsError (rank,
  // element type, lengths, names), PolicyError (external links or storage).
  static std::unique_ptr<FeatureFile> open(const std::filesystem::path& path, const FeatureFileOptions& options = {});
  virtual ~FeatureFile() = default;

  virtual std::filesystem::path path() const = 0;
  virtual std::int64_t n_rows() const = 0;
  virtual const std::vector<FeatureColumn>& columns() const = 0;  // of X
  virtual const std::vector<ObsColumn>& obs() const = 0;
  virtual const ObsRoles& roles() const = 0;
  // The shape of a dataset that could be such a column but for its shape; nullopt where there is none of that name.
  virtual std::optional<std::string> misshapen(const std::string& name) const = 0;

  // Raw tiles of all of X, with one read-ahead thread; float64 tiles when X holds more than float32 can.
  virtual std::unique_ptr<TileSource> tiles(Context& context) const = 0;

  virtual std::string id_name() const = 0;  // "customer_id", ...; "row" when the file has no ids
  virtual bool has_integer_ids() const = 0;
  virtual std::int64_t longest_id() const = 0;                                   // bytes, for string ids
  virtual Ids ids(std::int64_t first_row, std::int64_t n_rows) const = 0;        // a range, so that ids may stream
  virtual std::vector<double> numbers(const std::string& obs_column) const = 0;  // (n_rows), NaN where missing
  // (n_rows). With a context its memory holds the levels, and reading can be cancelled. ResourceError.
  virtual Categories categories(const std::string& obs_column, Context* context = nullptr) const = 0;
  // The same, or nothing where there are more than `most` levels: the first one too many ends the reading.
  virtual std::optional<Categories> few_categories(const std::string& obs_column, std::size_t most, Context* context = nullptr) const = 0;
  // (n_rows) which of `levels` a row of a text column has: levels.size() where another one, -1 where missing.
  virtual std::vector<std::int32_t> level_codes(const std::string& obs_column, const std::vector<std::string>& levels,
                                                Context* context = nullptr) const = 0;

  // Hex SHA-256 of all bytes of the file, as `sha256sum` prints it. Who starts it early does not wait for it later: it is found on a
  // thread of its own. InputError: the file has changed.
  virtual void start_fingerprint() const = 0;
  virtual std::string fingerprint() const = 0;
};

// Rows whose id an earlier row has too (repeat_counter.hpp). ResourceError: its 16 bytes per row do not fit the budget.
std::int64_t count_duplicate_ids(const FeatureFile& file, Context& context);

}  // namespace coterie::io
