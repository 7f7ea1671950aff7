// A fit that goes on from the model of an earlier result. Columns are matched by name, and parameters carried from the
// clustering units of that result to those of this fit: both are shifts and scales of the same prepared values.
#pragma once

#include <string>

#include "host/gaussian_mixture.hpp"
#include "io/model_file.hpp"

namespace coterie::tools {

// Sets means_init, and of a mixture weights_init and precisions_init. `init` names the file in messages. ContentsError where
// the model has other columns, or prepares one in another way (log1p, answered).
void start_from(const io::SegmentationModel& model, const std::string& init, const Transform& transform, gaussian_mixture::Params& params);

}  // namespace coterie::tools
