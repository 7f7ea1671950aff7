// The verbs of the command line. Each lives in the file of its name: its add_ function defines the options and returns
// what to do once they are parsed.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace coterie::tools {

using Action = std::function<void()>;
struct Verb {
  CLI::App* options;
  Action act;
};

Verb add_run(CLI::App& root);
Verb add_inspect(CLI::App& root);
Verb add_features(CLI::App& root);
Verb add_import(CLI::App& root);
Verb add_synth(CLI::App& root);
Verb add_cluster(CLI::App& root);
Verb add_sweep(CLI::App& root);
Verb add_propensity(CLI::App& root);
Verb add_assign(CLI::App& root);
Verb add_profile(CLI::App& root);
Verb add_export(CLI::App& root);
Verb add_devices(CLI::App& root);

}  // namespace coterie::tools
