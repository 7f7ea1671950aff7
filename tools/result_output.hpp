// The files a segmentation leaves: the result .h5ad and, beside it, a CSV of the customers. Rows are written as the
// prediction sweep brings them; nothing appears under the final names before commit().
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/atomic_output.hpp"
#include "io/csv_writer.hpp"
#include "io/result_file.hpp"
#include "io/result_reader.hpp"
#include "tools/input.hpp"
#include "tools/placement.hpp"
#include "tools/stopwatch.hpp"

namespace coterie::tools {

// A CSV file, or standard output for "-". Without commit() no file appears.
class CsvOutput {
 public:
  // OutputError, ArgumentError as AtomicOutput.
  CsvOutput(const std::string& path, bool overwrite, std::vector<std::filesystem::path> inputs);
  io::CsvWriter& writer() { return *writer_; }
  void commit() { writer_->finish(); }

 private:
  std::optional<io::AtomicOutput> file_;
  std::optional<io::CsvWriter> writer_;
};

// The request for -o, whose file may replace neither the input nor `read`, another file that is read ("": none).
io::OutputRequest output_request(const OutputOptions& options, const io::FeatureFile& input, const std::string& read,
                                 std::int64_t estimated_bytes);
// --csv beside -o: it may replace neither -o's file (ArgumentError) nor what -o must not. Nothing where none is asked for.
std::optional<CsvOutput> open_csv(const OutputOptions& options, const io::OutputRequest& beside);

// Every column of the customers of a result. context: of a session, which a signal cancels.
void write_customers(Context& context, const io::ResultReader& reader, io::CsvWriter& csv);

class ResultOutput {
 public:
  // Everything that can be refused is refused here. row_bytes: what a customer may take beside the id; read: another file
  // that is read, which must not be overwritten ("": none).
  ResultOutput(Context& context, const OutputOptions& options, const Input& input, std::int64_t row_bytes, const std::string& read);

  // Others will add columns of the customers to file(): the CSV is then written from the result, once that is committed. Before begin_rows.
  void expect_more_columns() { more_to_come_ = true; }
  // Opens the customers' columns, and the matrix of their probabilities where asked for; then one call per tile, in row order.
  void begin_rows(const std::vector<std::string>& segment_names, std::vector<io::RowColumn> more_columns, bool probabilities);
  // They are customers of the input; with --where, the rows of the file that are none get label -1 and missing numbers.
  void write_rows(const PlacedRows& rows);
  io::H5adWriter& file() { return file_; }
  void commit();

 private:
  void write_file_rows(const PlacedRows& rows);  // of the file

  Context& context_;
  const io::FeatureFile& input_;
  const RowSelection* selection_;  // nullptr: every row
  std::string path_;
  bool more_to_come_ = false;
  std::vector<io::RowColumn> columns_;
  io::OutputRequest request_;
  io::AtomicOutput output_;
  io::H5adWriter file_;
  std::optional<CsvOutput> csv_;
  io::RowStream* rows_ = nullptr;
  io::MatrixStream* probabilities_ = nullptr;
};

// Bytes of a customer beside the id in the files of a segmentation, before compression.
std::int64_t placement_bytes(std::int32_t n_segments, bool probabilities);

// uns/run: which program, command, seed, device, input, seconds and warnings led to this file. Paths are base names.
void write_run_record(io::H5adWriter& file, Session& session, const io::FeatureFile& input, const Seconds& seconds);

}  // namespace coterie::tools
