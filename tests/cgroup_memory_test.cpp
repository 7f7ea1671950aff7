#include "host/cgroup_memory.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "tests/support/scratch_folder.hpp"

namespace coterie {
namespace {

// A machine's /proc and /sys, as far as they tell of memory.
class CgroupMemory : public ::testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) {
    const std::filesystem::path file = folder_ / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text << '\n';
  }
  std::int64_t free_bytes() const { return cgroup_free_bytes(folder_.path()); }

  testing::ScratchFolder folder_;
};

TEST_F(CgroupMemory, IsEndlessWithoutLimits) {
  EXPECT_EQ(free_bytes(), INT64_MAX);
  write("proc/self/cgroup", "0::/job");
  write("sys/fs/cgroup/job/memory.max", "max");
  write("sys/fs/cgroup/job/memory.current", "500");
  EXPECT_EQ(free_bytes(), INT64_MAX);
}

TEST_F(CgroupMemory, IsTheLeastOfAGroupAndThoseAboveIt) {
  write("proc/self/cgroup", "0::/slice/job");
  write("sys/fs/cgroup/slice/job/memory.max", "1000");
  write("sys/fs/cgroup/slice/job/memory.current", "100");
  EXPECT_EQ(free_bytes(), 900);
  write("sys/fs/cgroup/slice/memory.max", "2000");
  write("sys/fs/cgroup/slice/memory.current", "1800");
  EXPECT_EQ(free_bytes(), 200);
  write("sys/fs/cgroup/memory.max", "50");
  write("sys/fs/cgroup/memory.current", "60");
  EXPECT_EQ(free_bytes(), 0);
}

TEST_F(CgroupMemory, CountsPageCacheAsFree) {
  write("proc/self/cgroup", "0::/");
  write("sys/fs/cgroup/memory.max", "1000");
  write("sys/fs/cgroup/memory.current", "900");
  write("sys/fs/cgroup/memory.stat", "anon 300\nfile 600\ninactive_file 400\nactive_file 150");
  EXPECT_EQ(free_bytes(), 650);
}

TEST_F(CgroupMemory, KnowsTheFirstVersion) {
  write("proc/self/cgroup", "9:cpu,cpuacct:/other\n7:memory:/docker/abc\n0::/");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "1000");  // the path of the machine is not to be seen in here
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "700");
  write("sys/fs/cgroup/memory/memory.stat", "inactive_file 7\ntotal_inactive_file 200\ntotal_active_file 30");
  EXPECT_EQ(free_bytes(), 530);
}

}  // namespace
}  // namespace coterie
