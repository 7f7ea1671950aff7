#include "io/latching_driver.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "host/error.hpp"
#include "tests/support/files.hpp"
#include "tests/support/sample_result.hpp"
#include "tests/support/scratch_folder.hpp"

namespace coterie::io {
namespace {

using coterie::testing::names_in;
using coterie::testing::read_file;
using coterie::testing::SampleResult;
using coterie::testing::ScratchFolder;
using coterie::testing::write_file;
using coterie::testing::write_sample_result;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

using Fault = std::function<int(std::int64_t)>;

constexpr std::int64_t kFewRows = 3000;

void write_result(const std::filesystem::path& path, std::int64_t n_rows, Fault fault = {}) {
  AtomicOutput output({.path = path, .overwrite = true});
  H5adWriter::Options options = result_options(n_rows, "customer_id");
  options.before_write = std::move(fault);
  H5adWriter file(output, options);
  write_sample_result(file, SampleResult{.n_rows = n_rows}, 1000);
  file.commit();
}

std::int64_t count_writes(const std::filesystem::path& path) {
  std::int64_t n = 0;
  write_result(path, kFewRows, [&](std::int64_t nth) {
    n = nth;
    return 0;
  });
  return n;
}

class LatchingDriver : public ::testing::Test {
 protected:
  void expect_old_file_alone() const {
    EXPECT_EQ(read_file(path), "the old result");
    EXPECT_THAT(names_in(folder.path()), ElementsAre("result.h5ad"));
  }

  const ScratchFolder folder;
  const std::filesystem::path path = folder / "result.h5ad";
};

TEST_F(LatchingDriver, EveryFailedWriteIsAnOutputError) {
  const std::int64_t n_writes = count_writes(path);
  ASSERT_GT(n_writes, 10);
  write_file(path, "the old result");
  for (const int error : {ENOSPC, EIO})
    for (std::int64_t at = 1; at <= n_writes; ++at) {
      EXPECT_THROW(write_result(path, kFewRows, [&](std::int64_t nth) { return nth == at ? error : 0; }), OutputError) << at;
      expect_old_file_alone();
    }
}

TEST_F(LatchingDriver, AKilledRunLeavesTheOldFileAndTheNextRunCleansUp) {
  const std::int64_t n_writes = count_writes(path);
  const std::string complete = read_file(path);
  write_file(path, "the old result");
  for (std::int64_t at = 1; at <= n_writes; ++at) {
    const pid_t child = fork();
    if (child == 0) {
      write_result(path, kFewRows, [&](std::int64_t nth) { return nth == at ? kill(getpid(), SIGKILL) : 0; });
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << at;
    EXPECT_EQ(read_file(path), "the old result");
    EXPECT_EQ(names_in(folder.path()).size(), 3u);  // with a temporary and a lock
  }
  write_result(path, kFewRows);
  EXPECT_EQ(read_file(path), complete);
  EXPECT_THAT(names_in(folder.path()), ElementsAre("result.h5ad"));
}

TEST_F(LatchingDriver, GivesUpQuietlyWhenTheRunThrows) {
  write_file(path, "the old result");
  {
    AtomicOutput output({.path = path, .overwrite = true});
    H5adWriter file(output, result_options(kFewRows, "customer_id"));
    const SampleResult sample{.n_rows = kFewRows};
    file.open_rows(coterie::testing::sample_columns(sample), kCustomersTable);
    EXPECT_THROW(file.commit(), InternalError);  // rows are missing
  }
  expect_old_file_alone();
}

TEST_F(LatchingDriver, ReportsTheFileSizeLimit) {
  write_file(path, "the old result");
  struct rlimit old {};
  getrlimit(RLIMIT_FSIZE, &old);
  const struct rlimit small { 20'000, old.rlim_max };
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_THAT([&] { write_result(path, 200'000); }, ThrowsMessage<OutputError>(HasSubstr("File too large")));
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  expect_old_file_alone();
}

// A disk that really is full where this process may mount a small one; elsewhere one that takes no write after the twentieth.
TEST_F(LatchingDriver, ReportsAFullDisk) {
  const auto disk = folder / "disk";
  std::filesystem::create_directory(disk);
  Fault fault;
  const bool is_mounted = mount("none", disk.c_str(), "tmpfs", 0, "size=300k") == 0;
  if (!is_mounted) fault = [](std::int64_t nth) { return nth > 20 ? ENOSPC : 0; };
  write_file(disk / "result.h5ad", "the old result");
  EXPECT_THAT([&] { write_result(disk / "result.h5ad", 200'000, fault); },
              ThrowsMessage<OutputError>(AllOf(HasSubstr("No space left on device"), HasSubstr("free"), HasSubstr("result.h5ad"))));
  EXPECT_EQ(read_file(disk / "result.h5ad"), "the old result");
  EXPECT_THAT(names_in(disk), ElementsAre("result.h5ad"));
  if (is_mounted) umount2(disk.c_str(), MNT_DETACH);
}

// Metadata that could not be written must still be there when HDF5 reads it back.
TEST_F(LatchingDriver, HandsBackWhatItWithheld) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT, 0600);
  WriteLatch latch{.fd = fd, .before_write = [](std::int64_t) { return ENOSPC; }};
  {
    const hdf5::Lock lock;
    const hdf5::PropertyList access = latched_access(latch);
    H5Pset_evict_on_close(access.id(), true);  // forget a group when its handle goes
    hdf5::File file = hdf5::create_file("latched", H5F_ACC_TRUNC, hdf5::property_list(hdf5::PropertyClass::file_creation), access);
    for (int i = 0; i < 200; ++i) hdf5::create_group(file.id(), "group" + std::to_string(i));
    hdf5::flush(file);
    for (int i = 0; i < 200; ++i) EXPECT_TRUE(hdf5::is_group(file.id(), "group" + std::to_string(i)));
    file.close();
  }
  EXPECT_EQ(latch.error_number, ENOSPC);
  EXPECT_EQ(std::filesystem::file_size(path), 0u);
  ::close(fd);
}

}  // namespace
}  // namespace coterie::io
