// One segmentation from input to files, shared by `cluster` and `run`:
// open -> survey -> transform -> stage -> moments -> fit -> predict and write rows -> profile -> write -> commit.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "io/data_frame.hpp"
#include "io/model_file.hpp"
#include "tools/clustering.hpp"
#include "tools/description.hpp"
#include "tools/fit_plan.hpp"
#include "tools/input.hpp"
#include "tools/options.hpp"
#include "tools/propensity_options.hpp"
#include "tools/result_output.hpp"
#include "tools/session.hpp"
#include "tools/stopwatch.hpp"

namespace coterie::tools {

struct JobOptions {
  ResourceOptions resources;
  InputOptions input;
  TransformOptions transform;
  FitOptions fit;
  PlacementOptions placement;
  OutputOptions output;
  PropensityOptions propensity;  // of `run`; no targets: none
  std::int32_t n_clusters = 0;   // 0: not given
  bool json = false;
};
void add_job(CLI::App& app, JobOptions& options);

struct Segmentation {
  io::SegmentationModel model;
  io::DataFrame segments;  // one row per segment, in the order of the model
  std::string sha256;
  Seconds seconds;
};

class Job {
 public:
  // Opens input and outputs, refuses what can be refused, then reads. `defaults`: the numbers of segments to fit where neither
  // --n-clusters nor --init says how many.
  Job(const JobOptions& options, std::vector<std::int32_t> defaults);

  Session& session() { return session_; }
  const FitPlan& plan() const { return plan_; }
  std::vector<io::FittedModel> fit();
  Comparison compare(std::span<const io::FittedModel> models);
  // Places everybody, describes the segments, writes all files. `sweep`: the table of the models that were tried.
  Segmentation finish(const io::FittedModel& model, const std::optional<io::DataFrame>& sweep);

 private:
  void check_placement() const;
  io::SegmentationModel model_record(const io::FittedModel& fit);
  std::vector<std::int32_t> place(const io::SegmentationModel& model);
  void write(const io::SegmentationModel& model, const Description& description, const io::DataFrame& segments);

  const JobOptions& options_;
  Seconds seconds_;
  Session session_;
  FitPlan plan_;
  std::optional<Input> input_;
  std::optional<ResultOutput> output_;
  std::optional<Clustering> clustering_;
  Reservation labels_memory_;
};

// The object that scripts rely on: design of `cluster --json`.
nlohmann::ordered_json segmentation_json(const Segmentation& result, const std::string& device, const std::vector<std::string>& warnings);
// For people: the largest segment first.
std::string segments_table(const io::DataFrame& segments);

}  // namespace coterie::tools
