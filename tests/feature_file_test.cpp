#include "io/feature_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <random>

#include "host/error.hpp"
#include "tests/support/feature_files.hpp"

namespace coterie::io {
namespace {

using testing::copy_type;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;
using ::testing::Not;
using testing::read_file;
using testing::ScratchFolder;
using testing::write_dataset;
using testing::write_file;
using testing::write_texts;

// Plain files

// Texts 0, 1, .. behind "level", and at last a cell that cannot be read.
std::vector<std::string> levels_and_rubbish(int n_rows, int n_levels) {
  std::vector<std::string> texts;
  for (int row = 0; row < n_rows; ++row) texts.push_back("level" + std::to_string(row % n_levels));
  texts.back() = "\xff";
  return texts;
}

TEST(FeatureFile, ReadsNoFurtherThanTheFirstLevelTooMany) {
  constexpr int kRows = 40'000;
  const ScratchFolder folder;
  const auto file = FeatureFile::open(make_file(folder, [](hid_t id) {
    write_plain_matrix(id, "/X", kRows, 1);
    write_texts(id, "/few", levels_and_rubbish(kRows, 50));
    write_texts(id, "/many", levels_and_rubbish(kRows, 51));
  }));
  EXPECT_EQ(file->few_categories("many", 50), std::nullopt);
  EXPECT_THAT(message_of<ContentsError>([&] { file->few_categories("few", 50); }), HasSubstr("UTF-8"));
  EXPECT_THAT(message_of<ContentsError>([&] { file->few_categories("many", 51); }), HasSubstr("UTF-8"));
}

TEST(FeatureFile, LevelsAreReservedAsLongAsTheyLive) {
  constexpr int kRows = 40'000;
  const ScratchFolder folder;
  std::vector<std::string> mails;
  for (int row = 0; row < kRows; ++row) mails.push_back("somebody" + std::to_string(kRows - row) + "@example.org");
  const auto file = FeatureFile::open(make_file(folder, [&](hid_t id) {
    write_plain_matrix(id, "/X", kRows, 1);
    write_texts(id, "/mail", mails);
  }));
  Context::Options options;
  options.memory_bytes = 4 << 20;
  Context small(options);
  EXPECT_THAT(message_of<ResourceError>([&] { file->categories("mail", &small); }), HasSubstr("the levels of column 'mail'"));
  options.memory_bytes = 64 << 20;
  Context large(options);
  {
    const Categories mail = file->categories("mail", &large);
    EXPECT_TRUE(std::is_sorted(mail.levels.begin(), mail.levels.end()));
    for (std::size_t row = 0; row < mails.size(); ++row) ASSERT_EQ(mail.levels[static_cast<std::size_t>(mail.codes[row])], mails[row]);
    EXPECT_LE(large.memory().available(), (64 << 20) - kRows * 40);
  }
  EXPECT_EQ(large.memory().available(), 64 << 20);
  large.cancel(SIGINT);
  EXPECT_THROW(file->categories("mail", &large), Cancelled);
}

TEST(FeatureFile, FindsMatrixNamesIdsAndListsOfPlainFiles) {
  const ScratchFolder folder;
  const auto path = make_file(folder, [](hid_t file) {
    write_plain_matrix(file, "/train", 4, 3);
    write_plain_matrix(file, "/test", 9, 3);
    write_texts(file, "/feature_names", {"a", "b", "c"});
    write_dataset<std::int64_t>(file, "/ids", int64(), {4}, {11, 12, 13, 14});
    write_dataset<float>(file, "/churned", float32(), {4}, {0, 1, 1, NAN});
    write_texts(file, "/region", {"north", "south", "north", "east"});
    write_texts(file, "/notes", {"of another length"});
  });
  const auto file = FeatureFile::open(path);
  EXPECT_EQ(file->path(), path);
  EXPECT_EQ(file->n_rows(), 4);
  EXPECT_THAT(names_of(*file), ElementsAre("a", "b", "c"));
  EXPECT_EQ(file->id_name(), "ids");
  EXPECT_TRUE(file->has_integer_ids());
  EXPECT_THAT(std::get<0>(file->ids(1, 2)), ElementsAre(12, 13));
  EXPECT_THAT(obs_of(*file), ElementsAre("churned", "region"));
  EXPECT_THAT(file->numbers("churned"), ElementsAre(0, 1, 1, ::testing::IsNan()));
  EXPECT_FALSE(file->obs()[0].is_category);
  EXPECT_TRUE(file->obs()[1].is_category);
  const Categories regions = file->categories("region");
  EXPECT_THAT(regions.levels, ElementsAre("east", "north", "south"));
  EXPECT_THAT(regions.codes, ElementsAre(1, 2, 1, 0));
  Context context({});
  const auto tiles = file->tiles(context);
  tiles->rewind();
  EXPECT_EQ(tiles->next()->x[5], 5.0f);
}

TEST(FeatureFile, MakesUpWhatAPlainFileLacks) {
  const ScratchFolder folder;
  const auto file = FeatureFile::open(make_file(folder, [](hid_t id) { write_plain_matrix(id, "/group_less"); }));
  EXPECT_THAT(names_of(*file), ElementsAre("x0", "x1", "x2"));
  EXPECT_EQ(file->id_name(), "row");
  EXPECT_TRUE(file->has_integer_ids());
  EXPECT_THAT(std::get<0>(file->ids(2, 2)), ElementsAre(2, 3));
}

TEST(FeatureFile, TakesWhatTheUserNames) {
  const ScratchFolder folder;
  const auto path = make_file(folder, [](hid_t file) {
    hdf5::create_group(file, "/deep");
    write_plain_matrix(file, "/deep/matrix");
    write_plain_matrix(file, "/X", 2, 2);
    write_texts(file, "/who", {"p", "q", "r", "s"});
    write_texts(file, "/what", {"a", "b", "c"});
  });
  const auto file = FeatureFile::open(path, {.x = "/deep/matrix", .ids = "/who", .names = "/what"});
  EXPECT_EQ(file->n_rows(), 4);
  EXPECT_THAT(names_of(*file), ElementsAre("a", "b", "c"));
  EXPECT_THAT(std::get<1>(file->ids(0, 4)), ElementsAre("p", "q", "r", "s"));
  expect_refused<InputError>(path, "'/nobody'", {.x = "/deep/matrix", .ids = "/nobody", .names = ""});
  expect_refused<InputError>(path, "'/nothing'", {.x = "/deep/matrix", .ids = "", .names = "/nothing"});
  expect_refused<ContentsError>(path, "dataset '/what': 3 rows, but there are 4 customers",
                                {.x = "/deep/matrix", .ids = "/what", .names = ""});
  expect_refused<ContentsError>(path, "dataset '/who': 4 rows, but there are 3 features",
                                {.x = "/deep/matrix", .ids = "", .names = "/who"});
}

TEST(FeatureFile, NamesMayLieInAnAttributeOfTheMatrix) {
  const ScratchFolder folder;
  const auto path = make_file(folder, [](hid_t file) {
    write_plain_matrix(file);
    const std::vector<std::string> names = {"a", "b", "c"};
    hdf5::write_strings_attribute(hdf5::open_dataset(file, "/X").id(), "columns", names);
  });
  EXPECT_THAT(names_of(*FeatureFile::open(path)), ElementsAre("a", "b", "c"));
}

TEST(FeatureFileRefuses, NamesThatDoNotTellFeaturesApart) {
  const ScratchFolder folder;
  const auto with_names = [&](const std::vector<std::string>& names) {
    return make_file(folder, [&](hid_t file) {
      write_plain_matrix(file);
      write_texts(file, "/names", names);
    });
  };
  expect_refused<ContentsError>(with_names({"a", "b", "a"}), "features 0 and 2 (counted from 0) have the same name 'a'");
  expect_refused<ContentsError>(with_names({"a", "", "c"}), "feature 1 (counted from 0) has an empty name");
  expect_refused<ContentsError>(with_names({"a", "b\xfc", "c"}), "row 1 is not UTF-8");
}

// Ids

TEST(FeatureFile, ReadsTextIdsOfBothKindsInRanges) {
  const ScratchFolder folder;
  const std::vector<std::string> expected = {"Müller", "b", "", "dddddddd"};
  std::string fixed;
  for (const std::string& id : expected) fixed += id + std::string(8 - id.size(), '\0');
  for (const bool variable : {true, false}) {
    const auto path = make_file(folder, [&](hid_t file) {
      write_plain_matrix(file);
      if (variable) return write_texts(file, "/ids", expected);
      const hdf5::Dataset dataset = hdf5::create_dataset(file, "/ids", hdf5::fixed_string_type(8),
                                                         hdf5::simple_space(std::vector<hsize_t>{4}), testing::creation_list({}));
      hdf5::write(dataset, hdf5::fixed_string_type(8), {}, {}, fixed.data());
    });
    const auto file = FeatureFile::open(path);
    EXPECT_FALSE(file->has_integer_ids());
    EXPECT_EQ(file->longest_id(), 8);
    EXPECT_EQ(std::get<1>(file->ids(0, 4)), expected);
    EXPECT_THAT(std::get<1>(file->ids(1, 1)), ElementsAre("b"));
  }
}

TEST(FeatureFileRefuses, IdsThatWereNeverWritten) {
  const ScratchFolder folder;
  const auto path = make_file(folder, [](hid_t file) {
    write_plain_matrix(file);
    const char* texts[] = {"a", "b", nullptr, "d"};
    const hdf5::Dataset dataset =
        hdf5::create_dataset(file, "/ids", hdf5::string_type(), hdf5::simple_space(std::vector<hsize_t>{4}), testing::creation_list({}));
    hdf5::write(dataset, hdf5::string_type(), {}, {}, texts);
  });
  const auto file = FeatureFile::open(path);
  const std::string message = message_of<ContentsError>([&] { file->ids(0, 4); });
  EXPECT_THAT(message, HasSubstr("dataset '/ids': the id in row 2 (counted from 0) was never written"));
}

TEST(FeatureFileRefuses, IdsWhoseTextLiesNowhere) {
  const ScratchFolder folder;
  const auto path = make_file(folder, [](hid_t file) {
    write_plain_matrix(file);
    write_texts(file, "/ids", {"a", "b", "c", "d"});
  });
  const std::string sound = read_file(path);
  const std::size_t heap = sound.find("GCOL");  // 16 bytes of header, then objects: index (2 bytes), count, reserved, size at 8
  ASSERT_NE(heap, std::string::npos);
  for (const std::size_t byte : {heap, heap + 8, heap + 16, heap + 17, heap + 24, heap + 31}) {
    std::string bytes = sound;
    bytes[byte] = static_cast<char>(bytes[byte] + 100);
    write_file(path, bytes);
    const auto file = FeatureFile::open(path);
    EXPECT_THAT(message_of<InputError>([&] { file->ids(0, 4); }), HasSubstr("dataset '/ids': the text in row")) << byte - heap;
  }
}

TEST(FeatureFileRefuses, IdsThatAreNeitherWholeNumbersNorText) {
  const ScratchFolder folder;
  const auto path = make_file(folder, [](hid_t file) {
    write_plain_matrix(file);
    write_dataset(file, "/ids", float32(), {4}, count_up(4));
  });
  expect_refused<ContentsError>(path, "dataset '/ids': ids are whole numbers or text");
}

TEST(FeatureFileRefuses, IdsBeyondInt64) {
  const ScratchFolder folder;
  const auto path = make_file(folder, [](hid_t file) {
    write_plain_matrix(file);
    write_dataset<std::uint64_t>(file, "/ids", copy_type(H5T_STD_U64LE), {4}, {1, 2, (1ULL << 63) + 5, 4});
  });
  const auto file = FeatureFile::open(path);
  const std::string message = message_of<ContentsError>([&] { file->ids(0, 4); });
  EXPECT_THAT(message, HasSubstr("row 2 (counted from 0)"));
  EXPECT_THAT(message, Not(HasSubstr("9223372036854775813"))) << "an id must not be shown";
}

TEST(FeatureFile, CountsRepeatedIds) {
  const ScratchFolder folder;
  Context context({});
  const auto numbers = make_file(folder, [](hid_t file) {
    write_plain_matrix(file, "/X", 6, 1);
    write_dataset<std::int64_t>(file, "/ids", int64(), {6}, {5, 3, 5, 5, -1, 3});
  });
  EXPECT_EQ(count_duplicate_ids(*FeatureFile::open(numbers), context), 3);
  const auto texts = make_file(folder, [](hid_t file) {
    write_plain_matrix(file, "/X", 6, 1);
    write_texts(file, "/ids", {"ab", "a", "", "ba", "ab", ""});
  });
  EXPECT_EQ(count_duplicate_ids(*FeatureFile::open(texts), context), 2);
  const auto rows = make_file(folder, [](hid_t file) { write_plain_matrix(file, "/X", 200000, 1); });
  EXPECT_EQ(count_duplicate_ids(*FeatureFile::open(rows), context), 0);
}

TEST(FeatureFile, FingerprintIsTheSha256OfTheFile) {
  const ScratchFolder folder;
  const auto path = make_file(folder, [](hid_t file) { write_plain_matrix(file); });
  const std::string fingerprint = FeatureFile::open(path)->fingerprint();
  const std::string listing = (folder / "sum").string();
  ASSERT_EQ(std::system(("sha256sum '" + path.string() + "' > '" + listing + "'").c_str()), 0);
  EXPECT_EQ(fingerprint, read_file(listing).substr(0, 64));
}

// Damage anywhere in a file

// Opens and reads everything, in a process of its own; returns its exit status, or a signal as 1000 + number.
int read_everything(const std::filesystem::path& path) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);  // a hang ends as signal 14
    try {
      Context context({.threads = 1, .memory_bytes = 64 << 20, .seed = 0, .progress = {}, .communicator = nullptr});
      const auto file = FeatureFile::open(path);
      const auto tiles = file->tiles(context);
      tiles->rewind();
      while (tiles->next() != nullptr) {
      }
      file->ids(0, file->n_rows());
      for (const ObsColumn& column : file->obs()) file->categories(column.name);
    } catch (const Error&) {
      _exit(0);
    } catch (...) {
      _exit(1);
    }
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(FeatureFile, SurvivesDamageAnywhere) {
  const ScratchFolder folder;
  const auto path = make_file(folder, [](hid_t file) {
    write_anndata(file);
    write_roles(file, "spend", {"bought"});
  });
  const std::string sound = read_file(path);
  ASSERT_EQ(read_everything(path), 0);
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    std::string bytes = sound;
    for (int n = 1 + static_cast<int>(random() % 3); n > 0; --n) bytes[random() % bytes.size()] = static_cast<char>(random());
    write_file(folder / "damaged.h5", bytes);
    EXPECT_EQ(read_everything(folder / "damaged.h5"), 0) << "mutation " << i;
  }
}

}  // namespace
}  // namespace coterie::io
