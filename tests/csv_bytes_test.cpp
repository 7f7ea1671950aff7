#include "io/csv_bytes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/error.hpp"
#include "host/random.hpp"
#include "tests/support/csv_files.hpp"
#include "tests/support/gzip_files.hpp"

namespace coterie::io {
namespace {

using coterie::testing::context_with_threads;
using coterie::testing::message_of;
using coterie::testing::ScratchFolder;
using coterie::testing::write_gzip;
using coterie::testing::write_text;
using ::testing::HasSubstr;

TEST(CsvBytes, ReadsGzipInPiecesOfAnySize) {
  const ScratchFolder folder;
  const auto context = context_with_threads(1);
  std::string text;
  for (std::uint64_t i = 0; i < 100'000; ++i) text += i % 3 == 0 ? "again and again " : std::to_string(mix64(i));
  for (const char* const mode : {"wb0", "wb1", "wb9", "wbh", "wbF"}) {
    write_gzip(folder / "t.gz", text, mode);
    CsvBytes bytes(*context, folder / "t.gz", folder.path());
    for (const std::size_t piece : {std::size_t{97}, std::size_t{4096}, std::size_t{1} << 20}) {
      bytes.rewind();
      std::string read, buffer(piece, ' ');
      while (const std::size_t n = bytes.read(buffer.data(), piece)) read.append(buffer, 0, n);
      ASSERT_TRUE(read == text) << mode << ' ' << piece;
    }
  }
}

TEST(CsvBytes, PassesOverZerosBehindGzipAndNothingElse) {
  const ScratchFolder folder;
  const auto context = context_with_threads(1);
  const std::string text = "a,b\n1,2\n3,4\n", zeros(600'000, '\0');
  write_gzip(folder / "t.gz", text);
  const auto read_with = [&](std::string_view behind) {
    std::filesystem::copy_file(folder / "t.gz", folder / "more.gz", std::filesystem::copy_options::overwrite_existing);
    std::ofstream(folder / "more.gz", std::ios::binary | std::ios::app) << behind;
    CsvBytes bytes(*context, folder / "more.gz", folder.path());
    std::string read, buffer(4096, ' ');
    while (const std::size_t n = bytes.read(buffer.data(), buffer.size())) read.append(buffer, 0, n);
    return read;
  };
  EXPECT_EQ(read_with(std::string(1, '\0')), text);
  EXPECT_EQ(read_with(zeros), text);
  for (const std::string& behind : {std::string("\x1e\x8b a member with a flipped bit"), std::string("\x1f"), zeros + "\x1f\x8b"})
    EXPECT_THAT(message_of<InputError>([&] { read_with(behind); }),
                ::testing::AllOf(HasSubstr("more.gz"), HasSubstr("behind its gzip data")));
}

TEST(CsvBytes, NoticesAFileThatGrows) {
  const ScratchFolder folder;
  const auto context = context_with_threads(1);
  CsvBytes bytes(*context, write_text(folder, "t.csv", "a,b\n1,2\n"), folder.path());
  write_text(folder, "t.csv", "a,b\n1,2\n3,4\n");
  EXPECT_THAT(message_of<InputError>([&] { bytes.rewind(); }), HasSubstr("changed while it was being read"));
}

TEST(CsvBytes, RefusesWhatIsNoFile) {
  const ScratchFolder folder;
  const auto context = context_with_threads(1);
  const auto open = [&](const std::filesystem::path& path) {
    return message_of<InputError>([&] { CsvBytes(*context, path, folder.path()); });
  };
  EXPECT_THAT(open(folder / "missing.csv"), HasSubstr("No such file"));
  EXPECT_THAT(open(folder.path()), HasSubstr("folder"));
  EXPECT_THAT(open("/dev/null"), HasSubstr("device"));
  EXPECT_THAT(open(write_text(folder, "empty.csv", "")), HasSubstr("is empty"));
}

}  // namespace
}  // namespace coterie::io
