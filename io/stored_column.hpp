// A column of customers or features, in any of the forms AnnData gives it: a dataset of numbers or text, a categorical (codes
// and categories), a nullable array (values and mask).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/feature_file.hpp"
#include "io/input_file.hpp"

namespace coterie::io {

struct StoredColumn {
  enum class Form { numbers, text, categorical, nullable };
  std::string name;
  Form form = Form::numbers;
  std::string cells;      // dataset path: the numbers or texts, the codes, the values
  std::string companion;  // dataset path: the categories or the mask, else ""
  std::int64_t n_rows = 0;
  bool is_text = false;    // texts, nullable texts or a categorical; else numbers
  bool is_narrow = false;  // float32
};

// The column at `path`, or nothing when what lies there is none or of a kind we do not read.
std::optional<StoredColumn> find_column(const InputFile& file, const std::string& path);

// ContentsError names file and dataset when lengths or codes contradict each other, or the column holds no numbers.
std::vector<double> read_numbers(const InputFile& file, const StoredColumn& column);      // (n_rows), NaN where missing
std::vector<std::string> read_labels(const InputFile& file, const StoredColumn& column);  // (n_rows), "" where missing
// As the functions of FeatureFile. Of numbers each distinct one is a level.
Categories read_categories(const InputFile& file, const StoredColumn& column, Context* context = nullptr);
std::optional<Categories> read_few_categories(const InputFile& file, const StoredColumn& column, std::size_t most, Context* context);
std::vector<std::int32_t> read_level_codes(const InputFile& file, const StoredColumn& column, const std::vector<std::string>& levels,
                                           Context* context);

// ContentsError with both lengths unless `column` has `n_rows`; `what` says which rows those are.
void check_length(const InputFile& file, const StoredColumn& column, std::int64_t n_rows, const std::string& what);

hdf5::Dataset open_guarded(const InputFile& file, const std::string& path);  // guard_dataset has passed it

}  // namespace coterie::io
