// What `coterie synth --kind customers` writes: host/synth_customers.hpp in a file of customers, with the truth in obs columns named
// true_* and in uns/truth.
#pragma once

#include "host/synth_customers.hpp"
#include "tools/options.hpp"
#include "tools/session.hpp"

namespace coterie::tools {

void synth_customers(Session& session, const CustomerSynthOptions& options, const OutputOptions& output, bool compressed);

}  // namespace coterie::tools
