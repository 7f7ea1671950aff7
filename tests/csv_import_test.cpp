#include "io/csv_import.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <thread>

#include "host/error.hpp"
#include "io/feature_file.hpp"
#include "tests/support/csv_files.hpp"
#include "tests/support/files.hpp"
#include "tests/support/paths.hpp"

namespace coterie::io {
namespace {

using coterie::testing::context_with_threads;
using coterie::testing::message_of;
using coterie::testing::names_in;
using coterie::testing::read_file;
using coterie::testing::ScratchFolder;
using coterie::testing::write_text;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
const std::filesystem::path kTelco = testing::source_dir() / "datasets/telco_churn/telco_churn.csv";
const std::filesystem::path kShared = testing::shared_dir();

MATCHER_P(SameAs, expected, "") { return arg == expected || (std::isnan(arg) && std::isnan(expected)); }

// An import and what a reader finds in its file.
struct Imported {
  ImportReport report;
  std::unique_ptr<FeatureFile> file;
  bool wide = false;
  std::vector<double> x;  // (n_rows, n_columns)

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const FeatureColumn& column : file->columns()) names.push_back(column.name);
    return names;
  }
  std::size_t index(const std::string& name) const {
    const std::vector<std::string> all = names();
    return static_cast<std::size_t>(std::find(all.begin(), all.end(), name) - all.begin());
  }
  std::vector<double> column(const std::string& name) const {
    std::vector<double> cells;
    for (std::size_t i = index(name), d = file->columns().size(); i < x.size(); i += d) cells.push_back(x[i]);
    return cells;
  }
  const ImportedColumn& reported(const std::string& name) const {
    return *std::find_if(report.columns.begin(), report.columns.end(), [&](const auto& column) { return column.name == name; });
  }
};

Imported import_files(const std::vector<std::filesystem::path>& paths, const std::filesystem::path& output,
                      const ImportOptions& options = {}, int threads = 2) {
  const auto context = context_with_threads(threads);
  Imported imported{import_csv(*context, paths, output, options), FeatureFile::open(output), false, {}};
  const std::unique_ptr<TileSource> tiles = imported.file->tiles(*context);
  imported.wide = tiles->is_wide();
  tiles->rewind();
  while (const Tile* tile = tiles->next())
    visit_cells(*tile, [&](const auto* cells) {
      imported.x.insert(imported.x.end(), cells, cells + std::int64_t{tile->n_rows} * tile->n_columns);
    });
  return imported;
}

Imported import_text(const std::string& text, const ImportOptions& options = {}) {
  const ScratchFolder folder;
  return import_files({write_text(folder, "t.csv", text)}, folder / "t.h5ad", options);
}

ImportOptions with(auto set) {
  ImportOptions options;
  set(options);
  return options;
}

ImportOptions outcome(const std::string& name, const std::string& positive = {}) {
  return with([&](auto& o) { o.outcomes = {{name, positive}}; });
}

std::int64_t count_missing(const std::vector<double>& cells) {
  return std::count_if(cells.begin(), cells.end(), [](double x) { return std::isnan(x); });
}

TEST(CsvImport, EveryKindFindsItsPlace) {
  ImportOptions options = outcome("left");
  options.as_of = "2026-10-31";
  options.value = "revenue";
  options.weight = "w";
  const Imported imported = import_text(
      "customer_id,age,plan,gender,newsletter,last_order,zip,left,revenue,w\n"
      "7,34.5,Gold,Male,yes,2026-10-30,10115,no,120.5,1\n"
      "9,,Basic,Female,no,2026-10-01T12:00,80331,yes,0,2\n"
      "8,28,Silver,Male,,,20095,,-3,0.5\n"
      "5,41,,Female,no,2025-10-31,50667,no,,1\n",
      options);
  EXPECT_THAT(imported.names(),
              ElementsAre("age", "plan=Basic", "plan=Gold", "plan=Silver", "gender=Male", "newsletter", "days_since_last_order"));
  EXPECT_THAT(imported.column("age"), ElementsAre(34.5, SameAs(kMissing), 28, 41));
  EXPECT_THAT(imported.column("plan=Gold"), ElementsAre(1, 0, 0, SameAs(kMissing)));
  EXPECT_THAT(imported.column("gender=Male"), ElementsAre(1, 0, 1, 0));
  EXPECT_THAT(imported.column("newsletter"), ElementsAre(1, 0, SameAs(kMissing), 0));
  EXPECT_THAT(imported.column("days_since_last_order"), ElementsAre(1, 30, SameAs(kMissing), 365));
  EXPECT_EQ(imported.file->columns().at(1).role, Role::profile);
  EXPECT_EQ(imported.file->columns().at(1).onehot_of, "plan");
  EXPECT_EQ(imported.file->columns().at(4).role, Role::active);
  EXPECT_EQ(imported.file->id_name(), "customer_id");
  EXPECT_THAT(std::get<std::vector<std::int64_t>>(imported.file->ids(0, 4)), ElementsAre(7, 9, 8, 5));
  EXPECT_THAT(imported.file->numbers("left"), ElementsAre(0, 1, SameAs(kMissing), 0));
  EXPECT_THAT(imported.file->numbers("revenue"), ElementsAre(120.5, 0, -3, SameAs(kMissing)));
  EXPECT_THAT(imported.file->numbers("w"), ElementsAre(1, 2, 0.5, 1));
  EXPECT_THAT(imported.file->categories("plan").levels, ElementsAre("Basic", "Gold", "Silver"));
  EXPECT_THAT(imported.file->categories("plan").codes, ElementsAre(1, 0, 2, -1));
  EXPECT_THAT(imported.file->roles().outcomes, ElementsAre("left"));
  EXPECT_EQ(imported.file->roles().value, "revenue");
  EXPECT_EQ(imported.file->roles().weight, "w");
  EXPECT_EQ(imported.reported("zip").kind, ColumnKind::code);
  EXPECT_EQ(imported.report.n_rows, 4);
  EXPECT_EQ(imported.report.n_active, 4);
  EXPECT_EQ(imported.report.n_profile, 3);
}

TEST(CsvImport, WithoutIdsCustomersAreRowNumbers) {
  const Imported imported = import_text("a,row\n1,4\n2,5\n3,6\n");
  EXPECT_TRUE(imported.report.ids_are_row_numbers);
  EXPECT_EQ(imported.file->id_name(), "row_number");
  EXPECT_THAT(std::get<std::vector<std::int64_t>>(imported.file->ids(0, 3)), ElementsAre(0, 1, 2));
}

TEST(CsvImport, TextIdsStayAsTheyAre) {
  const Imported imported = import_text("a,customerID\n1,007\n2,\xc3\xa4-12\n3,x\n");
  EXPECT_THAT(std::get<std::vector<std::string>>(imported.file->ids(0, 3)), ElementsAre("007", "\xc3\xa4-12", "x"));
}

TEST(CsvImport, NumbersWrittenAsFloatsAreIntegerIds) {
  const Imported imported = import_text("a,CustomerID\n1,17850.0\n2,13047.0\n");
  EXPECT_THAT(std::get<std::vector<std::int64_t>>(imported.file->ids(0, 2)), ElementsAre(17850, 13047));
}

TEST(CsvImport, XIsFloat64OnlyWhereDigitsNeedIt) {
  EXPECT_FALSE(import_text("a,b\n0.1,16777216\n29.85,3\n").wide);
  const Imported wide = import_text("a,b\n0.1,16777217\n29.85,3\n");
  EXPECT_TRUE(wide.wide);
  EXPECT_THAT(wide.column("b"), ElementsAre(16777217, 3));
  EXPECT_THAT(wide.column("a"), ElementsAre(0.1, 29.85));
  const Imported ignored = import_text("a,phone\n1,4930123456\n2,4930123457\n3,4930123458\n");
  EXPECT_FALSE(ignored.wide);
}

TEST(CsvImport, OutcomesOfManyLevelsBecomeCategories) {
  const Imported imported = import_text("x,species\n1,a\n2,b\n3,c\n", outcome("species"));
  EXPECT_THAT(imported.names(), ElementsAre("x"));
  EXPECT_THAT(imported.file->roles().outcomes, IsEmpty());
  EXPECT_THAT(imported.file->categories("species").levels, ElementsAre("a", "b", "c"));
  const Imported scored = import_text("x,species\n1,a\n2,b\n3,c\n", outcome("species", "b"));
  EXPECT_THAT(scored.file->numbers("species"), ElementsAre(0, 1, 0));
}

TEST(CsvImport, SlashesInNamesAreKeptInXAndReplacedInObs) {
  const Imported imported =
      import_text("user/id,a/b,c/d,e/f\n1,x,2,yes\n2,y,3,no\n3,z,4,no\n", with([](auto& o) { o.id = "user/id", o.outcomes = {{"e/f"}}; }));
  EXPECT_THAT(imported.names(), ElementsAre("a/b=x", "a/b=y", "a/b=z", "c/d"));
  EXPECT_EQ(imported.file->id_name(), "user_id");
  EXPECT_THAT(imported.file->categories("a_b").codes, ElementsAre(0, 1, 2));
  EXPECT_THAT(imported.file->roles().outcomes, ElementsAre("e_f"));
}

TEST(CsvImport, SemicolonsWithDecimalCommas) {
  const Imported imported = import_text("a;b\n1,5;2\n\"2,25\";3\n", with([](auto& o) { o.decimal = ','; }));
  EXPECT_THAT(imported.column("a"), ElementsAre(1.5, 2.25));
}

TEST(CsvImport, ReadsTheTelcoTable) {
  const ScratchFolder folder;
  const Imported telco = import_files({kTelco}, folder / "telco.h5ad", outcome("churn"));
  EXPECT_EQ(telco.report.n_rows, 7043);
  EXPECT_EQ(telco.report.n_active, 9);
  EXPECT_EQ(telco.report.n_profile, 9 * 3 + 4);
  EXPECT_FALSE(telco.wide);
  EXPECT_EQ(count_missing(telco.column("total_charges")), 11);
  EXPECT_EQ(telco.reported("total_charges").missing, 11);
  EXPECT_EQ(telco.reported("phone_service").kind, ColumnKind::number);
  const std::vector<double> churn = telco.file->numbers("churn");
  EXPECT_EQ(std::accumulate(churn.begin(), churn.end(), 0.0), 1869);
  EXPECT_NEAR(1869.0 / 7043, .26537, 5e-6);
}

TEST(CsvImport, IbmsOriginalGivesTheSameNumbers) {
  const std::filesystem::path original = kShared / "data/telco_churn/Telco-Customer-Churn.csv";
  if (!testing::has_shared()) GTEST_SKIP() << "no ../shared";
  const ScratchFolder folder;
  const Imported ibm = import_files({original}, folder / "ibm.h5ad", outcome("Churn"));
  const Imported telco = import_files({kTelco}, folder / "telco.h5ad", outcome("churn"));
  EXPECT_EQ(ibm.file->id_name(), "customerID");
  EXPECT_EQ(ibm.reported("TotalCharges").missing, 11);  // a single space
  EXPECT_EQ(ibm.file->numbers("Churn"), telco.file->numbers("churn"));
  for (const auto& [theirs, ours] : {std::pair("tenure", "tenure"),
                                     {"MonthlyCharges", "monthly_charges"},
                                     {"Partner", "partner"},
                                     {"Contract=One year", "contract=One year"}})
    EXPECT_EQ(ibm.column(theirs), telco.column(ours)) << theirs;
  const std::vector<double> male = ibm.column("gender=Male"), female = telco.column("female");
  for (std::size_t i = 0; i < male.size(); ++i) ASSERT_EQ(male[i], 1 - female[i]);
}

TEST(CsvImport, TransactionsWithFloatIdsAndGapsAreNoCustomers) {
  const std::filesystem::path retail = kShared / "data/online_retail/online_retail.csv.gz";
  if (!testing::has_shared()) GTEST_SKIP() << "no ../shared";
  const ScratchFolder folder;
  const Imported imported = import_files({retail}, folder / "retail.h5ad", with([](auto& o) { o.as_of = "2011-12-10"; }));
  EXPECT_EQ(imported.report.n_rows, 541'909);
  EXPECT_TRUE(imported.report.ids_are_row_numbers);
  EXPECT_EQ(imported.reported("CustomerID").kind, ColumnKind::code);
  EXPECT_EQ(imported.reported("CustomerID").missing, 135'080);
  EXPECT_THAT(imported.reported("CustomerID").reason, HasSubstr("135080 cells are empty"));
  EXPECT_EQ(imported.reported("InvoiceDate").kind, ColumnKind::date);
  EXPECT_EQ(imported.reported("Country").kind, ColumnKind::category);
  EXPECT_EQ(imported.reported("Description").kind, ColumnKind::text);
}

TEST(CsvImport, IgnoresThreadCount) {
  const ScratchFolder folder;
  import_files({kTelco}, folder / "one.h5ad", {}, 1);
  import_files({kTelco}, folder / "three.h5ad", {}, 3);
  EXPECT_TRUE(read_file(folder / "one.h5ad") == read_file(folder / "three.h5ad"));
}

TEST(CsvImport, IgnoresShards) {
  const ScratchFolder folder;
  const std::string all = read_file(kTelco);
  const std::size_t header = all.find('\n') + 1, cut = all.find('\n', all.size() / 3) + 1;
  const auto first = write_text(folder, "1.csv", all.substr(0, cut)),
             second = write_text(folder, "2.csv", all.substr(0, header) + all.substr(cut));
  import_files({kTelco}, folder / "whole.h5ad");
  import_files({first, second}, folder / "shards.h5ad");
  EXPECT_TRUE(read_file(folder / "whole.h5ad") == read_file(folder / "shards.h5ad"));
}

TEST(CsvImport, ReadsAPipeTwice) {
  const ScratchFolder folder;
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  std::thread writer([&] { write_text(folder, "pipe", read_file(kTelco)); });
  import_files({folder / "pipe"}, folder / "piped.h5ad");
  writer.join();
  import_files({kTelco}, folder / "plain.h5ad");
  EXPECT_TRUE(read_file(folder / "piped.h5ad") == read_file(folder / "plain.h5ad"));
  EXPECT_THAT(names_in(folder.path()), ElementsAre("pipe", "piped.h5ad", "plain.h5ad"));
}

TEST(CsvImport, ShardsMustHaveOneHeader) {
  const ScratchFolder folder;
  const auto a = write_text(folder, "a.csv", "x,y,z\n1,2,3\n"), b = write_text(folder, "b.csv", "x,z,y\n1,2,3\n"),
             c = write_text(folder, "c.csv", "x,y\n1,2\n");
  const auto shards = [&](const auto& second) { return message_of<ContentsError>([&] { import_files({a, second}, folder / "t.h5ad"); }); };
  EXPECT_THAT(shards(b), AllOf(HasSubstr("b.csv"), HasSubstr("column 2 is 'z', not 'y'")));
  EXPECT_THAT(shards(c), HasSubstr("column 3 is nothing, not 'z'"));
}

// Between the two passes, in place and with the old time: nothing but the cells tells.
std::string refused_after_change(const std::string& before, const std::string& after, const ImportOptions& options) {
  const ScratchFolder folder;
  const std::filesystem::path path = write_text(folder, "t.csv", before);
  const auto written = std::filesystem::last_write_time(path) - std::chrono::hours(1);
  std::filesystem::last_write_time(path, written);
  Context::Options with_change;
  with_change.threads = 1;
  with_change.progress = [&](const Progress& progress) {
    if (progress.phase != "types") return;
    std::fstream(path, std::ios::in | std::ios::out | std::ios::binary) << after;
    std::filesystem::last_write_time(path, written);
  };
  Context context(with_change);
  return message_of<InputError>([&] { import_csv(context, {path}, folder / "t.h5ad", options); });
}

TEST(CsvImport, CellsThatTheFirstPassHasNotSeenAreRefused) {
  const ImportOptions dated = with([](auto& o) { o.as_of = "2026-10-31"; });
  const auto refused = [&](const std::string& cell) {
    const std::string before = "id,plan,day,n\n1,Gold,2026-10-01,1\n2,Team,2026-10-02,2\n3,Free,2026-10-03,3\n";
    std::string after = before;
    after.replace(after.find(cell), cell.size(), std::string(cell.size(), 'z'));
    return refused_after_change(before, after, dated);
  };
  for (const char* cell : {"Free", "2026-10-03", "3\n"})
    EXPECT_THAT(refused(cell), AllOf(HasSubstr("t.csv"), HasSubstr("changed while"))) << cell;
  EXPECT_THAT(refused_after_change("id,n\n1,2\n2,3\n", "id,n\nx,2\n2,3\n", {}), HasSubstr("changed while"));
  EXPECT_THAT(refused_after_change("id,n\n1,2\n2,300000000\n", "id,n\n1,2\n2,3\n4,5\n6,7\n", {}), HasSubstr("changed while"));
}

TEST(CsvImport, TheSameIdInTwoShardsIsARepeat) {
  const ScratchFolder folder;
  const auto a = write_text(folder, "a.csv", "id,n\n17,1\n18,2\n"), b = write_text(folder, "b.csv", "id,n\n17.0,3\n19,4\n");
  EXPECT_TRUE(import_files({a, b}, folder / "t.h5ad").report.ids_are_row_numbers);
  const Imported named = import_files({a, b}, folder / "named.h5ad", with([](auto& o) { o.id = "id"; }));
  EXPECT_THAT(std::get<std::vector<std::int64_t>>(named.file->ids(0, 4)), ElementsAre(17, 18, 17, 19));
  EXPECT_THAT(named.reported("id").reason, HasSubstr("1 rows repeat"));
}

TEST(CsvImport, FailuresLeaveNothingBehind) {
  const ScratchFolder folder;
  const auto refused = [&](const std::string& text, const ImportOptions& options = {}) {
    write_text(folder, "t.csv", text);
    return message_of<Error>([&] { import_files({folder / "t.csv"}, folder / "t.h5ad", options); });
  };
  EXPECT_THAT(refused("a,b\n1,2\n3\n"), HasSubstr("line 3"));
  EXPECT_THAT(refused("a,b\n"), HasSubstr("no rows"));
  EXPECT_THAT(refused("id,zip\n1,10115\n2,80331\n3,20095\n"), HasSubstr("No column of the CSV file can be a feature"));
  EXPECT_THAT(refused("a,b\n1,2\n", with([](auto& o) { o.id = "c"; })), HasSubstr("--id"));
  EXPECT_THAT(refused("a,b\n1,2\n1,3\n", with([](auto& o) { o.outcomes = {{"b", "7"}}; })), HasSubstr("--outcome"));
  EXPECT_THAT(names_in(folder.path()), ElementsAre("t.csv"));
}

TEST(CsvImport, ExistingOutputStaysUnlessOverwritten) {
  const ScratchFolder folder;
  const auto input = write_text(folder, "t.csv", "a,b\n1,2\n3,4\n");
  write_text(folder, "t.h5ad", "precious");
  EXPECT_THROW(import_files({input}, folder / "t.h5ad"), OutputError);
  EXPECT_EQ(read_file(folder / "t.h5ad"), "precious");
  EXPECT_EQ(import_files({input}, folder / "t.h5ad", with([](auto& o) { o.overwrite = true; })).report.n_rows, 2);
  EXPECT_THROW(import_files({input}, input, with([](auto& o) { o.overwrite = true; })), ArgumentError);
}

TEST(CsvImport, AnndataReadsWhatPandasReadsFromTheCsv) {
  const ScratchFolder folder;
  import_files({kTelco}, folder / "telco.h5ad", outcome("churn"));
  const std::string command = "/usr/bin/python3 '" + (testing::source_dir() / "tests/csv_import_check.py").string() + "' '" +
                              kTelco.string() + "' '" + (folder / "telco.h5ad").string() + "'";
  EXPECT_EQ(std::system(command.c_str()), 0);
}

}  // namespace
}  // namespace coterie::io
