// The result file, schema coterie-results 1.0: an .h5ad without X.
//   obs                          one row per customer: id, segment (categorical), segment_id, second_segment; k-means adds
//                                segment_distance, segment_margin, a mixture segment_probability, segment_entropy,
//                                log_likelihood, is_outlier; indexed by the id, or by _index, its text, where ids are numbers
//   obsm/probabilities           (n_rows, n_segments) float32, where asked for
//   var                          one row per raw column: role, layer, transform, population statistics
//   varm/segment_*               (n_columns, n_segments) profiles, in the order of uns/segmentation/segments
//   uns/segmentation/segments    dataframe, one row per segment
//   uns/segmentation/customers   packed table of the customers, pandas.read_hdf(f, "uns/segmentation/customers")
//   uns/segmentation/profile_table, levels, outcomes, values    packed tables in long form; segment_id -1 is everybody
//   uns/segmentation/model       model_file.hpp
//   uns/sweep                    dataframe, one row per number of segments
//   uns/run                      dictionary: tool, version, command, seed, device, seconds, warnings, ...
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "host/profile.hpp"
#include "io/feature_file.hpp"
#include "io/h5ad_writer.hpp"

namespace coterie::io {

inline constexpr char kResultSchema[] = "coterie-results";
inline constexpr char kResultSchemaVersion[] = "1.0";  // the minor number grows with additions, the major one with changes
inline constexpr char kCustomersTable[] = "uns/segmentation/customers";

// context: encodes chunks on its threads when given; must outlive the writer.
H5adWriter::Options result_options(std::int64_t n_rows, std::string id_name, Context* context = nullptr);

// How the ids of the customers are stored.
struct IdFormat {
  std::string name;             // "customer_id", ...
  bool is_integer = true;       // int64, else fixed-length UTF-8
  std::int64_t text_bytes = 0;  // of the longest id
};

// The columns every segmentation has, in this order: ids (int64 or text), segment codes (int32), segment_id (int32),
// second_segment (int32, -1 when there is one segment only). Append what else there is and open them with kCustomersTable.
std::vector<RowColumn> customer_columns(const IdFormat& ids, std::vector<std::string> segment_names);
std::vector<RowColumn> distance_columns();                        // k-means: distance and margin, float32
std::vector<RowColumn> probability_columns(bool marks_outliers);  // a mixture: probability, entropy, log-likelihood, float32; outlier

// The population per raw column, for var. columns, transform_notes ("" where there is none): (n_columns).
DataFrame variables_frame(std::span<const FeatureColumn> columns, std::span<const std::string> transform_notes,
                          const profile::Profile& profile);

// n, weight and share per segment, to be extended and written to uns/segmentation/segments. segment_names: (n_segments)
DataFrame segments_frame(std::span<const std::string> segment_names, const profile::Profile& profile);

// varm/segment_* and uns/segmentation/profile_table.
void write_profile(H5adWriter& file, const profile::Profile& profile, std::span<const std::string> segment_names,
                   std::span<const FeatureColumn> columns);
void write_levels(H5adWriter& file, std::span<const profile::LevelProfile> levels, std::span<const std::string> segment_names);
void write_outcomes(H5adWriter& file, std::span<const profile::OutcomeProfile> outcomes, std::span<const std::string> segment_names);
void write_values(H5adWriter& file, std::span<const profile::ValueProfile> values, std::span<const std::string> segment_names);

}  // namespace coterie::io
