// An opened input file with the roles of its columns settled: what the file says, overridden by the options. With --where it
// consists of the customers who meet the condition, and of nobody else.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/weights.hpp"
#include "io/feature_file.hpp"
#include "io/result_file.hpp"
#include "tools/options.hpp"
#include "tools/session.hpp"
#include "tools/where.hpp"

namespace coterie::tools {

// ArgumentError that names the nearest of the known columns. where: "the file", say.
[[noreturn]] void throw_unknown(const char* option, const std::string& name, const std::vector<std::string>& known,
                                const std::string& where);

class Input {
 public:
  // InputError, ContentsError as FeatureFile::open; ArgumentError for a column that the file does not have; ContentsError
  // for repeated ids where they were forbidden; the errors of select_rows. model_where: the condition of an earlier result,
  // which holds beside --where.
  Input(Session& session, const InputOptions& options, const std::string& model_where = {});

  const io::FeatureFile& file() const { return *file_; }
  bool has_ids() const { return file_->id_name() != "row"; }  // otherwise rows are numbered from 0
  std::int64_t repeated_ids() const { return repeated_ids_; }
  std::int64_t n_rows() const { return selection_ ? selection_->n_chosen() : file_->n_rows(); }
  TileSource& raw() { return selection_ ? *selected_ : *raw_; }      // (n_rows) all columns of X
  std::vector<double> numbers(const std::string& obs_column) const;  // (n_rows) as FeatureFile
  io::Categories categories(const std::string& obs_column) const;    // (n_rows) likewise, as the next two
  std::optional<io::Categories> few_categories(const std::string& obs_column, std::size_t most) const;
  std::vector<std::int32_t> level_codes(const std::string& obs_column, const std::vector<std::string>& levels) const;
  // (n_rows) 1, 0 or NaN: its numbers, or whether a text of two levels has the one that says yes; nothing of any other text.
  std::optional<std::vector<double>> outcome(const std::string& obs_column) const;
  void require_obs(const std::string& name, const char* option) const;       // ArgumentError where the file has no such column beside X
  void refuse_misshapen(const std::string& name, const char* option) const;  // ContentsError where its length is not that of X
  bool allows_sensitive() const { return allows_sensitive_; }
  const RowSelection* selection() const { return selection_ ? &*selection_ : nullptr; }  // nullptr: every row of the file
  const std::string& where() const { return where_; }                                    // the condition of the options, or ""
  const std::vector<io::FeatureColumn>& columns() const { return columns_; }
  // Of a text column beside X, or of one of its levels ("name=level"): ignore and profile where options say so, else active.
  io::Role text_role(const std::string& name) const;
  const io::ObsRoles& roles() const { return roles_; }
  const Weights& weights() const { return weights_; }

 private:
  void settle_column_roles(const InputOptions& options);
  void settle_obs_roles(const InputOptions& options);
  void require_yes(const std::string& outcome) const;
  void bar_sensitive(Session& session);
  io::FeatureColumn& column(const std::string& name, const char* option);
  bool has_level(const std::string& text, const std::string& name) const;
  void set_role(const std::string& name, const char* option, io::Role role);
  void check_ids(Session& session, bool must_be_unique);

  Context& context_;
  std::unique_ptr<io::FeatureFile> file_;
  std::unique_ptr<TileSource> raw_;
  std::string where_;
  bool allows_sensitive_;
  std::optional<RowSelection> selection_;
  std::unique_ptr<TileSource> selected_;  // of raw_
  std::vector<io::FeatureColumn> columns_;
  std::map<std::string, io::Role> text_roles_;  // by text_role()
  io::ObsRoles roles_;
  Weights weights_;
  std::int64_t repeated_ids_ = 0;
};

io::IdFormat id_format(const io::FeatureFile& file);
// The ids of some rows, owned, and viewed as cells of a row stream.
class IdCells {
 public:
  IdCells(const io::FeatureFile& file, std::int64_t first_row, std::int64_t n_rows) : ids_(file.ids(first_row, n_rows)) {}
  io::Cells cells() const;

 private:
  io::Ids ids_;
};

}  // namespace coterie::tools
