// What a verb was asked to fit, all of one method: options checked and start files read before the input is, parameters
// given once its columns are known.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "host/gaussian_mixture.hpp"
#include "host/kmeans.hpp"
#include "host/transform.hpp"
#include "io/model_file.hpp"
#include "tools/options.hpp"
#include "tools/session.hpp"

namespace coterie::tools {

using FitParams = std::variant<std::vector<kmeans::Params>, std::vector<gaussian_mixture::Params>>;

// FILE.h5:/dataset -> both parts; nothing for text without ":/".
struct CentersPath {
  std::string file, dataset;
};
std::optional<CentersPath> centers_path(const std::string& init);

class FitPlan {
 public:
  // asked: numbers of segments, or empty; then as many as the start of --init has, else `defaults`. ArgumentError for options
  // of the other method and for a start that does not go with the rest; InputError, ContentsError as the start file has it.
  FitPlan(Session& session, const FitOptions& options, std::vector<std::int32_t> asked, std::vector<std::int32_t> defaults);

  const FitOptions& options() const { return options_; }
  const std::vector<std::int32_t>& counts() const { return counts_; }  // ascending
  bool counts_are_defaults() const { return counts_are_defaults_; }
  const std::string& start_file() const { return start_file_; }  // of --init; "": none
  std::int32_t most_segments() const { return counts_.back(); }
  // ArgumentError where missing cells are to be kept by a fit that needs them.
  void check_missing(MissingPolicy missing) const;
  // Takes away default numbers of segments beyond so many rows, but for the least.
  void limit_defaults(std::int64_t n_rows);
  // One entry per number of segments, for gmm per covariance type and number. ContentsError: the start has other columns.
  FitParams params(const Transform& transform) const;

 private:
  struct Centers {
    std::vector<float> values;  // (n_segments, n_columns)
    std::int32_t n_segments = 0;
    std::int32_t n_columns = 0;
  };
  void check_options() const;
  void read_start(Session& session);
  Centers read_centers(Session& session, const CentersPath& path) const;
  std::int32_t start_segments() const;  // 0: no start from a file
  void settle_covariance_types();
  void check_columns(const Transform& transform) const;
  std::vector<kmeans::Params> kmeans_params() const;
  std::vector<gaussian_mixture::Params> mixture_params(const Transform& transform) const;

  FitOptions options_;
  std::string start_file_;
  std::optional<Centers> centers_;                    // of --init FILE.h5:/dataset
  std::optional<io::SegmentationModel> start_model_;  // of --init result.h5ad
  std::vector<std::int32_t> counts_;
  bool counts_are_defaults_ = false;
};

}  // namespace coterie::tools
