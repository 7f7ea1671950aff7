// One run of a verb: the context with its threads, memory and seed, the backend behind --device, the talk on stderr,
// and the signals that stop it.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "host/backend.hpp"
#include "host/context.hpp"
#include "tools/options.hpp"
#include "tools/progress.hpp"

namespace coterie::tools {

class Session {
 public:
  // From here on SIGINT, SIGTERM and SIGHUP cancel the context; a second one ends the process at once, temporaries removed.
  explicit Session(const ResourceOptions& options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Context& context() { return context_; }
  ProgressLine& progress() { return progress_; }
  // Chosen at the first call. DeviceError when --device asks for what is not there.
  Backend& backend();

  void say(const std::string& line);   // news for people, on stderr
  void warn(const std::string& line);  // as say(), and kept for --json and the result
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  std::unique_ptr<Backend> make_backend();
  int cuda_index() const;

  ResourceOptions options_;
  ProgressLine progress_;
  Context context_;
  std::unique_ptr<Backend> backend_;
  std::vector<std::string> warnings_;
};

// Data for the caller: writes to stdout. OutputError when it cannot be written.
void print(const std::string& text);
std::string json_line(const nlohmann::ordered_json& json);  // what --json prints; bytes that are no UTF-8 become U+FFFD

}  // namespace coterie::tools
