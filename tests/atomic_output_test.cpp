#include "io/atomic_output.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <optional>

#include "host/error.hpp"
#include "tests/support/files.hpp"
#include "tests/support/scratch_folder.hpp"

namespace coterie::io {
namespace {

using coterie::testing::names_in;
using coterie::testing::read_file;
using coterie::testing::ScratchFolder;
using coterie::testing::write_file;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

void put(const AtomicOutput& output, const std::string& text) {
  ASSERT_EQ(::write(output.fd(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

void publish(const OutputRequest& request, const std::string& text) {
  AtomicOutput output(request);
  put(output, text);
  output.commit();
}

mode_t mode_of(const std::filesystem::path& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  return status.st_mode & 0777;
}

TEST(AtomicOutput, AppearsOnlyWhenCommitted) {
  const ScratchFolder folder;
  const auto path = folder / "r.h5ad";
  AtomicOutput output({.path = path});
  put(output, "new");
  EXPECT_FALSE(std::filesystem::exists(path));
  output.commit();
  EXPECT_EQ(read_file(path), "new");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("r.h5ad"));
}

TEST(AtomicOutput, LeavesNothingWithoutCommit) {
  const ScratchFolder folder;
  const auto path = folder / "r.h5ad";
  write_file(path, "old");
  { put(AtomicOutput({.path = path, .overwrite = true}), "new"); }
  EXPECT_EQ(read_file(path), "old");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("r.h5ad"));
}

TEST(AtomicOutput, NewFilesArePrivateAndOldModesAreKept) {
  const ScratchFolder folder;
  publish({.path = folder / "new"}, "x");
  EXPECT_EQ(mode_of(folder / "new"), 0600u);
  for (const mode_t mode : {0640u, 0644u, 0400u}) {
    write_file(folder / "old", "x");
    std::filesystem::permissions(folder / "old", static_cast<std::filesystem::perms>(mode));
    publish({.path = folder / "old", .overwrite = true}, "y");
    EXPECT_EQ(mode_of(folder / "old"), mode);
  }
}

TEST(AtomicOutput, RefusesToReplaceUnasked) {
  const ScratchFolder folder;
  write_file(folder / "r", "old");
  EXPECT_THAT([&] { AtomicOutput({.path = folder / "r"}); }, ThrowsMessage<OutputError>(HasSubstr("--overwrite")));
  EXPECT_EQ(read_file(folder / "r"), "old");
}

TEST(AtomicOutput, NeverReplacesAFileThatAppearedMeanwhile) {
  const ScratchFolder folder;
  AtomicOutput output({.path = folder / "r"});
  write_file(folder / "r", "somebody else's");
  EXPECT_THROW(output.commit(), OutputError);
  EXPECT_EQ(read_file(folder / "r"), "somebody else's");
}

TEST(AtomicOutput, RefusesTheInputUnderAnyName) {
  const ScratchFolder folder;
  write_file(folder / "in", "rows");
  std::filesystem::create_symlink("in", folder / "soft");
  std::filesystem::create_hard_link(folder / "in", folder / "hard");
  for (const char* name : {"in", "soft", "hard", "./in"})
    EXPECT_THAT([&] { AtomicOutput({.path = folder / name, .overwrite = true, .inputs = {folder / "in"}}); },
                ThrowsMessage<ArgumentError>(HasSubstr("same file as the input")))
        << name;
  EXPECT_EQ(read_file(folder / "in"), "rows");
}

TEST(AtomicOutput, RefusesWhatIsNoRegularFile) {
  const ScratchFolder folder;
  std::filesystem::create_directory(folder / "folder");
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  for (const auto& path : {folder / "folder", folder / "fifo", std::filesystem::path("/dev/full"), folder / "folder/", folder / ".."})
    EXPECT_THROW(AtomicOutput({.path = path, .overwrite = true}), ArgumentError) << path;
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/full"));
}

TEST(AtomicOutput, RefusesMissingAndReadOnlyFolders) {
  const ScratchFolder folder;
  EXPECT_THAT([&] { AtomicOutput({.path = folder / "none" / "r"}); }, ThrowsMessage<OutputError>(HasSubstr("No such file or directory")));
  EXPECT_THAT([&] { AtomicOutput({.path = "/proc/self/r"}); }, ThrowsMessage<OutputError>(HasSubstr("/proc/self/r")));
}

TEST(AtomicOutput, RefusesNamesThatLeaveNoRoom) {
  const ScratchFolder folder;
  EXPECT_THROW(AtomicOutput({.path = folder / std::string(231, 'n')}), ArgumentError);
  publish({.path = folder / std::string(230, 'n')}, "x");
  EXPECT_EQ(names_in(folder.path()).size(), 1u);
}

TEST(AtomicOutput, RefusesWhatCannotFit) {
  const ScratchFolder folder;
  EXPECT_THAT([&] { AtomicOutput({.path = folder / "r", .estimated_bytes = std::int64_t{1} << 60}); },
              ThrowsMessage<OutputError>(AllOf(HasSubstr("needed"), HasSubstr("free"))));
  EXPECT_THAT(names_in(folder.path()), IsEmpty());
}

TEST(AtomicOutput, KeepsASymbolicLinkAndReplacesItsTarget) {
  const ScratchFolder folder;
  std::filesystem::create_directory(folder / "data");
  write_file(folder / "data/real", "old");
  std::filesystem::create_symlink("data/real", folder / "link");
  std::filesystem::create_symlink("data/later", folder / "dangling");
  publish({.path = folder / "link", .overwrite = true}, "new");
  publish({.path = folder / "dangling"}, "later");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(read_file(folder / "data/real"), "new");
  EXPECT_EQ(read_file(folder / "data/later"), "later");
  std::filesystem::create_symlink("loop", folder / "loop");
  EXPECT_THROW(AtomicOutput({.path = folder / "loop"}), ArgumentError);
}

TEST(AtomicOutput, SecondRunToTheSameTargetIsRefused) {
  const ScratchFolder folder;
  std::optional<AtomicOutput> first;
  first.emplace(OutputRequest{.path = folder / "r"});
  EXPECT_THAT([&] { AtomicOutput({.path = folder / "r"}); }, ThrowsMessage<OutputError>(HasSubstr("another run")));
  AtomicOutput other({.path = folder / "r2"});
  first->commit();
  EXPECT_EQ(read_file(folder / "r"), "");
  publish({.path = folder / "r", .overwrite = true}, "next");
  EXPECT_EQ(read_file(folder / "r"), "next");
}

TEST(AtomicOutput, CleansUpAfterAKilledRunButNotAfterOthers) {
  const ScratchFolder folder;
  const AtomicOutput neighbour({.path = folder / "r.other"});
  const pid_t child = fork();
  if (child == 0) {
    const AtomicOutput output({.path = folder / "r"});
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(names_in(folder.path()).size(), 4u);  // a temporary and a lock of each
  publish({.path = folder / "r"}, "x");
  EXPECT_EQ(names_in(folder.path()).size(), 3u);
  EXPECT_EQ(names_in(folder.path()).count("r"), 1u);
}

TEST(AtomicOutput, SignalHandlersRemoveTemporaries) {
  const ScratchFolder folder;
  const pid_t child = fork();
  if (child == 0) {
    const AtomicOutput first({.path = folder / "a"}), second({.path = folder / "b"});
    remove_temporaries();
    _exit(names_in(folder.path()).empty() ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(AtomicOutput, AForkedChildLeavesItsParentsFilesAlone) {
  const ScratchFolder folder;
  AtomicOutput output({.path = folder / "r"});
  const pid_t child = fork();
  if (child == 0) {
    remove_temporaries();
    _exit(0);
  }
  waitpid(child, nullptr, 0);
  output.commit();
  EXPECT_TRUE(std::filesystem::exists(folder / "r"));
}

TEST(AtomicOutput, TemporariesAreNotFollowedThroughPlantedLinks) {
  const ScratchFolder folder;
  write_file(folder / "victim", "precious");
  std::filesystem::create_symlink("victim", folder / ".r.coterie-lock");
  EXPECT_THROW(AtomicOutput({.path = folder / "r"}), OutputError);
  EXPECT_EQ(read_file(folder / "victim"), "precious");
}

}  // namespace
}  // namespace coterie::io
