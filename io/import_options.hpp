// What a user may say about the columns of a CSV file. Names are those of the file's header.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace coterie::io {

struct ImportOptions {
  struct Outcome {
    std::string name;
    std::string positive = {};  // the level that counts as 1; "" takes ImportOptions::positive, then the one that says yes
  };
  std::string id = {};  // "" takes a column called customer_id, id or the like, when its values are unique
  std::vector<std::string> active = {}, profile = {}, ignore = {};
  std::map<std::string, std::vector<std::string>> layers = {};  // by name: columns that count as one
  std::vector<std::string> sensitive = {};                      // marked in var/sensitive, whatever else they are
  std::vector<Outcome> outcomes = {};
  std::string positive = {};  // for outcomes without a level of their own
  std::string value = {};     // revenue or the like
  std::string weight = {};
  std::string as_of = {};  // "2026-10-31": dates become days before it
  enum class OnDuplicate { keep, error, first, last, sum };
  OnDuplicate on_duplicate = OnDuplicate::keep;  // what becomes of rows whose id another row has, see import_rows.hpp
  std::string erase = {};                        // CSV with ids to leave out, or ""
  std::int64_t max_age = -1;                     // days before as_of; customers whose `activity` is older are left out; -1: nobody
  std::string activity = {};                     // column with the day of the last activity
  char delimiter = 0;                            // one of , ; tab |; 0 detects
  char decimal = '.';                            // or ','
  bool overwrite = false;
};

// Days since 1970-01-01 of as_of, or nothing when it is not given.
std::optional<std::int64_t> as_of_day(const ImportOptions& options);

// ArgumentError: a name that the header does not have or that has two parts to play, a day or decimal sign that is none.
void check(const ImportOptions& options, const std::vector<std::string>& header);
void check_signs(char delimiter, char decimal);  // part of it

}  // namespace coterie::io
