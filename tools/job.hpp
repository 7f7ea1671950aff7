// One segmentation from input to files, shared by `cluster` and `run`:
// open -> survey -> transform -> stage -> moments -> fit -> predict and write rows -> profile -> write -> commit.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "io/data_frame.hpp"
#include "tools/clustering.hpp"
#include "tools/description.hpp"
#include "tools/input.hpp"
#include "tools/options.hpp"
#include "tools/result_output.hpp"
#include "tools/session.hpp"
#include "tools/stopwatch.hpp"

namespace coterie::tools {

struct JobOptions {
  ResourceOptions resources;
  InputOptions input;
  TransformOptions transform;
  FitOptions fit;
  OutputOptions output;
  std::int32_t n_clusters = 0;  // 0: not given
  bool json = false;
};
void add_job(CLI::App& app, JobOptions& options);

struct Segmentation {
  kmeans::Model model;
  io::DataFrame segments;  // one row per segment, in the order of the centers
  std::string sha256;
  Seconds seconds;
};

class Job {
 public:
  // Opens input and outputs, refuses what can be refused, then reads. The numbers of segments to fit are that of --init
  // FILE, else --n-clusters, else `defaults`.
  Job(const JobOptions& options, std::vector<std::int32_t> defaults);

  Session& session() { return session_; }
  const std::vector<std::int32_t>& cluster_counts() const { return cluster_counts_; }
  // The best model of each count.
  std::vector<kmeans::Model> fit();
  std::vector<kmeans::Quality> quality(std::span<const kmeans::Model> models);
  // Places everybody, describes the segments, writes all files. `sweep`: the table of the counts that were tried.
  Segmentation finish(const kmeans::Model& model, const std::optional<io::DataFrame>& sweep);

 private:
  void settle_cluster_counts(std::vector<std::int32_t> defaults);
  std::vector<std::int32_t> predict(const kmeans::Model& model);
  void write(const kmeans::Model& model, const Description& description, const io::DataFrame& segments);

  const JobOptions& options_;
  Seconds seconds_;
  Session session_;
  StartCenters start_;  // of --init FILE, else empty
  std::vector<std::int32_t> cluster_counts_;
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
