// The propensities of an earlier result for other customers: columns are matched by name, nothing is learned.
#pragma once

#include <memory>
#include <string>

#include "io/propensity_file.hpp"
#include "tools/input.hpp"
#include "tools/predictors.hpp"
#include "tools/propensities.hpp"
#include "tools/session.hpp"

namespace coterie::tools {

// Whether some target has the events that scores of single customers need.
bool scores_customers(const io::PropensityModels& models);
bool has_segment_effects(const io::PropensityModels& models);

class StoredPropensities {
 public:
  // path: the result file that the models were read from; segments: of these customers, for models with effects of segments of the same
  // names; the labels must outlive this object. PolicyError: no target has the events that scores of single customers need. ContentsError:
  // the input lacks a column that a model needs. Unknown columns, unseen levels of text columns and segment effects that cannot be told are
  // reported.
  StoredPropensities(Session& session, Input& input, io::PropensityModels models, const std::string& path,
                     const SegmentLabels& segments = {});

  const io::PropensityModels& models() const { return models_; }
  TileSource& rows() { return *staged_; }  // clustering units of the models, with the labels, where the backend wants them

 private:
  void require_events(const std::string& path) const;
  Transform matched_transform(const Input& input) const;
  void report(Session& session, const Input& input) const;
  void drop_effects(Session& session, const std::vector<std::string>& segment_names);

  io::PropensityModels models_;
  std::unique_ptr<Predictors> predictors_;
  std::unique_ptr<TileSource> rows_, labelled_, staged_;
};

}  // namespace coterie::tools
