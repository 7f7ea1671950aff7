#include "tools/result_output.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <future>
#include <iostream>

#include "host/error.hpp"
#include "tools/spread_rows.hpp"
#include "tools/table.hpp"

namespace coterie::tools {

namespace {

// This process's command line, every path shortened to its base name: a result that is passed on tells no folders.
std::string command_line() {
  std::ifstream stream("/proc/self/cmdline");
  std::string line;
  for (std::string argument; std::getline(stream, argument, '\0');) {
    const auto slash = argument.rfind('/');
    const auto equals = argument.find('=');
    const std::string option = slash != std::string::npos && equals < slash ? argument.substr(0, equals + 1) : "";
    line += (line.empty() ? "" : " ") + option + (slash == std::string::npos ? argument : argument.substr(slash + 1));
  }
  return printable(line);
}

}  // namespace

CsvOutput::CsvOutput(const std::string& path, bool overwrite, std::vector<std::filesystem::path> inputs) {
  if (path == "-") {
    writer_.emplace(std::cout);
  } else {
    file_.emplace(io::OutputRequest{path, overwrite, std::move(inputs), 0});
    writer_.emplace(*file_);
  }
}

io::OutputRequest output_request(const OutputOptions& options, const io::FeatureFile& input, const std::string& read,
                                 std::int64_t estimated_bytes) {
  io::OutputRequest request{options.path, options.overwrite, {input.path()}, estimated_bytes};
  if (!read.empty()) request.inputs.emplace_back(read);
  return request;
}

std::optional<CsvOutput> open_csv(const OutputOptions& options, const io::OutputRequest& beside) {
  if (options.csv.empty()) return std::nullopt;
  if (std::filesystem::weakly_canonical(options.csv) == std::filesystem::weakly_canonical(options.path))
    throw ArgumentError(fmt::format("--csv {} and -o name the same file. Nothing was written; give each its own name.", options.csv));
  return std::optional<CsvOutput>(std::in_place, options.csv, options.overwrite, beside.inputs);
}

void write_customers(Context& context, const io::ResultReader& reader, io::CsvWriter& csv) {
  constexpr std::int64_t kRowsAtOnce = 1 << 16;  // the chunk of the file
  const std::vector<io::RowColumn>& columns = reader.columns();
  const auto read = [&](std::int64_t row) {
    std::vector<io::ColumnCells> cells;
    for (const io::RowColumn& column : columns) cells.push_back(reader.rows(column, row, std::min(kRowsAtOnce, reader.n_rows() - row)));
    return cells;
  };
  io::write_csv_header(csv, columns);
  std::future<std::vector<io::ColumnCells>> ahead = std::async(std::launch::async, read, std::int64_t{0});
  for (std::int64_t row = 0; row < reader.n_rows(); row += kRowsAtOnce) {
    const std::vector<io::ColumnCells> owned = ahead.get();
    if (row + kRowsAtOnce < reader.n_rows()) ahead = std::async(std::launch::async, read, row + kRowsAtOnce);
    std::vector<io::Cells> cells;
    for (const io::ColumnCells& column : owned) cells.push_back(io::view(column));
    csv.rows(context, columns, cells);
  }
}

ResultOutput::ResultOutput(Context& context, const OutputOptions& options, const Input& input, std::int64_t row_bytes,
                           const std::string& read)
    : context_(context),
      input_(input.file()),
      selection_(input.selection()),
      path_(options.path),
      columns_(io::customer_columns(id_format(input_), {"S1"})),
      request_(output_request(options, input_, read, input_.n_rows() * (io::row_bytes(columns_) + row_bytes))),
      output_(request_),
      file_(output_, io::result_options(input_.n_rows(), input_.id_name(), &context)),
      csv_(open_csv(options, request_)) {
  input_.start_fingerprint();
}

void ResultOutput::begin_rows(const std::vector<std::string>& segment_names, std::vector<io::RowColumn> more_columns, bool probabilities) {
  columns_ = io::customer_columns(id_format(input_), segment_names);
  std::move(more_columns.begin(), more_columns.end(), std::back_inserter(columns_));
  rows_ = &file_.open_rows(columns_, io::kCustomersTable);
  if (probabilities)
    probabilities_ = &file_.open_matrix("obsm/probabilities", {.n_columns = std::ssize(segment_names), .compressed = true});
  if (csv_ && !more_to_come_) io::write_csv_header(csv_->writer(), columns_);
}

void ResultOutput::write_rows(const PlacedRows& rows) {
  spread_rows(selection_, rows, [this](const PlacedRows& file_rows) { write_file_rows(file_rows); });
}

void ResultOutput::write_file_rows(const PlacedRows& rows) {
  const IdCells ids(input_, rows.first_row, std::ssize(rows.label));
  std::vector<io::Cells> cells{ids.cells(), rows.label, rows.label, rows.second};
  cells.insert(cells.end(), rows.cells.begin(), rows.cells.end());
  rows_->write(rows.first_row, cells);
  if (probabilities_ != nullptr) probabilities_->write(rows.first_row, rows.probabilities);
  if (csv_ && !more_to_come_) csv_->writer().rows(context_, columns_, cells);
}

void ResultOutput::commit() {
  file_.close();
  if (csv_ && !more_to_come_) csv_->commit();
  file_.commit();
  if (!csv_ || !more_to_come_) return;
  try {
    write_customers(context_, io::ResultReader(path_, &context_), csv_->writer());
    csv_->commit();
  } catch (const Error& error) {
    const std::string why = dynamic_cast<const Cancelled*>(&error) != nullptr ? "stopped on request" : error.what();
    throw Error(
        error.code(),
        fmt::format("the result '{0}' is complete, its CSV is not ({1}). Write it with `coterie export {0} --csv FILE`.", path_, why));
  }
}

std::int64_t placement_bytes(std::int32_t n_segments, bool probabilities) {
  const auto columns = io::probability_columns(true);  // no method writes more
  return io::row_bytes(columns) + (probabilities ? n_segments * static_cast<std::int64_t>(sizeof(float)) : 0);
}

void write_run_record(io::H5adWriter& file, Session& session, const io::FeatureFile& input, const Seconds& seconds) {
  const auto write = [&](const std::string& name, const io::Value& value) { file.write_value("uns/run/" + name, value); };
  write("tool", std::string("coterie"));
  write("version", std::string(COTERIE_VERSION));
  write("command", command_line());
  write("created", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr))));
  write("device", session.backend().description());
  write("seed", std::to_string(session.context().seed()));  // 64 bits without a sign
  write("threads", std::int64_t{session.context().threads()});
  write("input", printable(input.path().filename().string()));
  write("input_fingerprint", input.fingerprint());
  write("seconds_read", seconds.read);
  write("seconds_fit", seconds.fit);
  write("seconds_predict", seconds.predict);
  write("warnings", session.warnings());
}

}  // namespace coterie::tools
