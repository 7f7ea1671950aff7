// The propensities of an earlier result for other customers: columns are matched by name, nothing is learned.
#pragma once

#include <memory>
#include <string>

#include "io/propensity_file.hpp"
#include "tools/input.hpp"
#include "tools/predictors.hpp"
#include "tools/session.hpp"

namespace coterie::tools {

class StoredPropensities {
 public:
  // path: the result file that the models were read from. PolicyError: no target has the events that scores of single customers need.
  // ContentsError: the input lacks a column that a model needs. Unknown columns, unseen levels of text columns and segment effects that
  // cannot be told are reported.
  StoredPropensities(Session& session, Input& input, io::PropensityModels models, const std::string& path);

  const io::PropensityModels& models() const { return models_; }
  TileSource& rows() { return *rows_; }  // clustering units of the models

 private:
  void require_events(const std::string& path) const;
  Transform matched_transform(const Input& input) const;
  void report(Session& session, const Input& input) const;

  io::PropensityModels models_;
  std::unique_ptr<Predictors> predictors_;
  std::unique_ptr<TileSource> rows_;
};

}  // namespace coterie::tools
