#include "io/import_rows.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "host/error.hpp"
#include "tests/support/csv_files.hpp"

namespace coterie::io {
namespace {

using coterie::testing::context_with_threads;
using coterie::testing::message_of;
using coterie::testing::ScratchFolder;
using coterie::testing::write_text;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using OnDuplicate = ImportOptions::OnDuplicate;

// Every customer as "cell|cell|..", from a second reading of the rows.
struct Kept {
  std::vector<std::string> customers;
  RowCounts counts;
};

Kept kept(const std::vector<std::string>& shards, const ImportOptions& options, const std::string& erase = {}) {
  const ScratchFolder folder;
  const auto context = context_with_threads(2);
  std::vector<std::filesystem::path> paths;
  for (const std::string& shard : shards)
    paths.push_back(write_text(folder, std::string(1, static_cast<char>('a' + paths.size())) + ".csv", shard));
  ImportOptions all = options;
  if (!erase.empty()) all.erase = write_text(folder, "erase.csv", erase).string();
  CsvTable table(*context, paths, folder.path(), 0);
  ImportRows rows(*context, table, all, folder.path());
  Kept kept;
  for (int reading = 0; reading < 2; ++reading) {
    kept.customers.clear();
    rows.rewind();
    for (auto batches = rows.next(); !batches.empty(); batches = rows.next())
      for (const CsvBatch& batch : batches) {
        EXPECT_EQ(batch.first_row(), std::ssize(kept.customers));
        for (std::int64_t row = 0; row < batch.n_rows(); ++row) {
          std::string& customer = kept.customers.emplace_back();
          for (std::size_t column = 0; column < table.header().size(); ++column)
            customer.append(column == 0 ? "" : "|").append(batch.cell(row, column));
        }
      }
  }
  kept.counts = rows.counts();
  return kept;
}

ImportOptions on_duplicate(OnDuplicate what) {
  ImportOptions options;
  options.on_duplicate = what;
  return options;
}

const std::string kTable =
    "customer_id,spend,plan,zip,gain\n"
    "a,0.1,Gold,10115,1\n"
    "b,5,Basic,20095,2\n"
    "a,0.2,Team,10117,NA\n"
    "c,,Gold,30159,3\n"
    "a,0.4,Gold,10119,1e15\n"
    "c,2.5,Gold,30159,-3\n";

TEST(ImportRows, KeepsTheFirstTheLastOrTheSum) {
  EXPECT_THAT(kept({kTable}, on_duplicate(OnDuplicate::first)).customers,
              ElementsAre("a|0.1|Gold|10115|1", "b|5|Basic|20095|2", "c||Gold|30159|3"));
  EXPECT_THAT(kept({kTable}, on_duplicate(OnDuplicate::last)).customers,
              ElementsAre("b|5|Basic|20095|2", "a|0.4|Gold|10119|1e15", "c|2.5|Gold|30159|-3"));
  const Kept sums = kept({kTable}, on_duplicate(OnDuplicate::sum));
  EXPECT_THAT(sums.customers, ElementsAre("a|0.7|Gold|10115|1000000000000001", "b|5|Basic|20095|2", "c|2.5|Gold|30159|0"));
  EXPECT_EQ(sums.counts.repeated, 3);
  EXPECT_EQ(kept({kTable}, {}).customers.size(), 6);
}

TEST(ImportRows, OutcomesAndWeightsAreNotAddedUp) {
  ImportOptions options = on_duplicate(OnDuplicate::sum);
  options.outcomes = {{"left"}};
  options.weight = "w";
  EXPECT_THAT(kept({"id,left,w,n\n1,1,2,3\n1,1,2,3\n"}, options).customers, ElementsAre("1|1|2|6"));
}

TEST(ImportRows, IgnoresShards) {
  const std::string header = "id,n\n";
  std::string all;
  for (int i = 0; i < 9000; ++i) all.append(std::to_string(i % 7000)).append(",").append(std::to_string(i)).append("\n");
  const std::size_t cut = all.find('\n', all.size() / 2) + 1;
  for (const OnDuplicate what : {OnDuplicate::first, OnDuplicate::last, OnDuplicate::sum}) {
    const Kept whole = kept({header + all}, on_duplicate(what));
    EXPECT_EQ(whole.customers.size(), 7000);
    EXPECT_EQ(whole.customers, kept({header + all.substr(0, cut), header + all.substr(cut)}, on_duplicate(what)).customers);
  }
}

TEST(ImportRows, ErasedAndStaleRowsDoNotCountAsRepeats) {
  ImportOptions options = on_duplicate(OnDuplicate::error);
  options.as_of = "2026-10-31";
  options.max_age = 30;
  options.activity = "last";
  const Kept rows = kept({"id,last\n1,2026-10-01\n1,2026-09-30\n2,2026-10-31\n2,2026-10-31\n3,\n"}, options, "id\n2.0\n4\n");
  EXPECT_THAT(rows.customers, ElementsAre("1|2026-10-01", "3|"));
  EXPECT_EQ(rows.counts.erased, 2);
  EXPECT_EQ(rows.counts.stale, 1);
  EXPECT_EQ(rows.counts.undated, 1);
  EXPECT_EQ(rows.counts.erase_ids, 2);
}

TEST(ImportRows, IdsAreTheSameHoweverTheirNumberIsWritten) {
  EXPECT_THAT(kept({"id,n\n5,1\n+5,1\n5.0,1\n1e3,2\n", "id,n\n1000,2\n05,4\n"}, on_duplicate(OnDuplicate::sum)).customers,
              ElementsAre("5|3", "1e3|4", "05|4"));
  ImportOptions with_commas = on_duplicate(OnDuplicate::first);
  with_commas.decimal = ',';
  EXPECT_THAT(kept({"id;n\n5;1\n5,0;2\n6;3\n"}, with_commas, "id\n\"6,0\"\n").customers, ElementsAre("5|1"));
}

// Whatever the budget, what does not fit is refused before it is there, and what is no longer needed is gone by then.
TEST(ImportRows, WhatLivesIsReserved) {
  constexpr std::int64_t kStep = 50'000, kRows = 45'000;  // nearly all that the search has room for by then
  const ScratchFolder folder;
  std::string text = "id,n\n";
  for (std::int64_t i = 0; i < kRows; ++i) text.append(std::to_string(i / 2)).append(",1\n");
  const std::filesystem::path path = write_text(folder, "t.csv", text);
  std::set<std::string> refused;
  for (std::int64_t budget = kStep;; budget += kStep) {
    Context::Options options;
    options.threads = 2;
    options.memory_bytes = budget;
    Context context(options);
    CsvTable table(context, {path}, folder.path(), ',');
    const std::int64_t available = context.memory().available();
    const ImportOptions sum = on_duplicate(OnDuplicate::sum);
    const std::string message = message_of<ResourceError>([&] {
      const ImportRows rows(context, table, sum, folder.path());
      EXPECT_GE(available - context.memory().available(), kRows * 16 + kRows / 8 + kRows / 2 * 2 * 24);
    });
    if (message == "nothing was thrown") break;
    refused.insert(message.substr(0, message.find(':')));
  }
  EXPECT_THAT(refused, ElementsAre("not enough memory for the rows of repeated ids", "not enough memory for the search for repeated ids"));
}

TEST(ImportRows, RefusalsNameThePlaceAndNoId) {
  const std::string message = message_of<ContentsError>([] { kept({kTable}, on_duplicate(OnDuplicate::error)); });
  EXPECT_THAT(message, HasSubstr("line 4 of file"));
  EXPECT_THAT(message, HasSubstr("--on-duplicate first"));
  EXPECT_THAT(message_of<ArgumentError>([] { kept({"a,b\n1,2\n"}, on_duplicate(OnDuplicate::first)); }), HasSubstr("--id"));
  EXPECT_THAT(message_of<ContentsError>([] { kept({kTable}, {}, "who\na\n"); }), HasSubstr("no column 'customer_id'"));
}

}  // namespace
}  // namespace coterie::io
