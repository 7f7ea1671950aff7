// The columns that options name for a part beside X: id, outcome, value, weight. Part of type_rules.
#pragma once

#include "io/type_rules.hpp"

namespace coterie::io {

// Throws the ContentsError for a column that cannot be what is asked of it.
[[noreturn]] void refuse(const std::string& column, const std::string& problem, const std::string& advice);

void make_id(ImportedColumn& column, const ColumnTally& tally);
void make_outcome(ImportedColumn& column, const ColumnTally& tally, const ImportOptions& options, const std::string& positive);
void make_amount(ImportedColumn& column, const ColumnTally& tally, ColumnUse use);  // value or weight

// Of two levels the one that says yes, or "".
std::string affirmative(const std::vector<std::string>& levels);

}  // namespace coterie::io
