#include "host/column_names.hpp"

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

namespace coterie {
namespace {

// The words of a name: "storeID", "store_id" and "Store ID" are store, id.
std::vector<std::string> words_of(std::string_view name) {
  std::vector<std::string> words(1);
  bool after_lower = false;
  for (const char c : name) {
    const bool upper = c >= 'A' && c <= 'Z';
    const bool lower = (c >= 'a' && c <= 'z') || static_cast<unsigned char>(c) >= 0x80;
    const bool belongs = upper || lower || (c >= '0' && c <= '9');
    if ((!belongs || (upper && after_lower)) && !words.back().empty()) words.emplace_back();
    if (belongs) words.back() += static_cast<char>(upper ? c - 'A' + 'a' : c);
    after_lower = lower;
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

}  // namespace

int id_rank(std::string_view name) {
  // Least telling first. A bare "id" may number the rows of a table that also has customer ids.
  constexpr std::string_view kIds[] = {
      "rowid",    "uid",       "uuid",   "id",       "accountnumber", "accountid",  "subscriberid",   "householdid", "personid",
      "memberid", "contactid", "userid", "clientid", "custid",        "customerno", "customernumber", "customerid"};
  std::string letters;
  for (const std::string& word : words_of(name)) letters += word;
  const auto* at = std::find(std::begin(kIds), std::end(kIds), letters);
  return at == std::end(kIds) ? 0 : static_cast<int>(at - std::begin(kIds)) + 1;
}

bool is_code_name(std::string_view name) {
  constexpr std::string_view kCodes[] = {"zip",   "zipcode", "postcode", "postal", "plz", "phone", "telephone", "mobile", "fax",
                                         "store", "shop",    "branch",   "code",   "id",  "sku",   "ean",       "gtin"};
  constexpr std::string_view kNumbers[] = {"number", "no", "nr", "num"};
  const auto is_one_of = [](const std::string& word, const auto& words) {
    return std::find(std::begin(words), std::end(words), word) != std::end(words);
  };
  std::vector<std::string> words = words_of(name);
  if (words.size() > 1 && is_one_of(words.back(), kNumbers)) words.pop_back();
  return !words.empty() && is_one_of(words.back(), kCodes);
}

}  // namespace coterie
