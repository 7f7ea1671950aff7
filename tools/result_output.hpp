// The files a segmentation leaves: the result .h5ad and, beside it, a CSV of the customers. Rows are written as the
// prediction sweep brings them; nothing appears under the final names before commit().
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "host/kmeans.hpp"
#include "io/atomic_output.hpp"
#include "io/csv_writer.hpp"
#include "io/result_file.hpp"
#include "tools/input.hpp"
#include "tools/stopwatch.hpp"

namespace coterie::tools {

// A CSV file, or standard output for "-". Without commit() no file appears.
class CsvOutput {
 public:
  // OutputError, ArgumentError as AtomicOutput.
  CsvOutput(const std::string& path, bool overwrite, const std::string& input_path);
  io::CsvWriter& writer() { return *writer_; }
  void commit() { writer_->finish(); }

 private:
  std::optional<io::AtomicOutput> file_;
  std::optional<io::CsvWriter> writer_;
};

class ResultOutput {
 public:
  // Everything that can be refused is refused here. n_segments: the most that will be written; model: the file that the
  // segments come from, where it is not the input.
  ResultOutput(Context& context, const OutputOptions& options, const Input& input, std::int32_t n_segments, const std::string& model = {});

  // Opens the customers' columns; then one call per tile, in row order.
  void begin_rows(const std::vector<std::string>& segment_names);
  void write_rows(std::int64_t first_row, const kmeans::Assignment& assignment);
  io::H5adWriter& file() { return file_; }
  void commit();

 private:
  const io::FeatureFile& input_;
  std::vector<io::RowColumn> columns_;
  io::AtomicOutput output_;
  io::H5adWriter file_;
  std::optional<CsvOutput> csv_;
  io::RowStream* rows_ = nullptr;
  std::vector<float> distance_, margin_;  // scratch of one tile
};

// uns/run: which program, command, seed, device, input, seconds and warnings led to this file. Paths are base names.
void write_run_record(io::H5adWriter& file, Session& session, const io::FeatureFile& input, const Seconds& seconds);

}  // namespace coterie::tools
