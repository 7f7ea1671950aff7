// The options of a parsed verb as text. --config FILE.toml: one table per verb, keys are the long option names; options on the command
// line win.
#pragma once

#include <CLI/CLI.hpp>
#include <set>
#include <string>

namespace coterie::tools {

// Adds --config to the root. Errors are ArgumentError with the line, and the nearest key for an unknown one.
void add_config(CLI::App& root);

// The options of a parsed verb, defaults included, as the table that --config reads back.
std::string config_text(const CLI::App& verb);

// What a parsed verb was given beyond its defaults, on the command line or by --config, as a shell reads it back: " FILE --seed 3
// --where 'age > 30'". Without the options named (long names) in `but`.
std::string given_options(const CLI::App& verb, const std::set<std::string>& but);

}  // namespace coterie::tools
