// --config FILE.toml: one table per verb, keys are the long option names. Options on the command line win.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace coterie::tools {

// Adds --config to the root. Errors are ArgumentError with the line, and the nearest key for an unknown one.
void add_config(CLI::App& root);

// The options of a parsed verb, defaults included, as the table that --config reads back.
std::string config_text(const CLI::App& verb);

}  // namespace coterie::tools
