// What the name of a column says about it.
#pragma once

#include <string_view>

namespace coterie {

// Could a column of this name be the customers' id? 0 is no; among several, the largest wins.
int id_rank(std::string_view name);

// Does the name promise numbers that are no amounts: zip, phone_number, storeId? Its last word tells, so store_visits and
// code_length do not.
bool is_code_name(std::string_view name);

}  // namespace coterie
