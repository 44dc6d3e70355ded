#include "controlplane/driver/timestamp_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "tests/unit/driver/socket_client.h"

namespace penstock {
namespace {

TEST(TimestampStore, floor_stored_is_found_by_next_start) {
  const TemporaryDirectory directory;
  const std::string state = directory.path() + "/state";
  {
    auto store = TimestampStore::open(state);
    ASSERT_TRUE(store.ok()) << store.error().text;
    EXPECT_EQ(store->floor_ns(), 0U);
    ASSERT_TRUE(store->store(1'700'000'000'000'000'000).ok());
    ASSERT_TRUE(store->store(1'600'000'000'000'000'000).ok());  // never backwards
  }
  auto next = TimestampStore::open(state);
  ASSERT_TRUE(next.ok());
  EXPECT_EQ(next->floor_ns(), 1'700'000'000'000'000'000U);
  struct stat info {};
  ASSERT_EQ(stat((state + "/timestamp-floor").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST(TimestampStore, damaged_file_is_refused_not_taken_as_zero) {
  const TemporaryDirectory directory;
  for (const char* const text : {"", "17e3\n", "-5\n", "99999999999999999999999\n"}) {
    std::ofstream(directory.path() + "/timestamp-floor") << text;
    EXPECT_FALSE(TimestampStore::open(directory.path()).ok()) << text;
  }
}

TEST(TimestampStore, symbolic_link_in_its_place_is_not_followed) {
  const TemporaryDirectory directory;
  const std::string victim = directory.path() + "/victim";
  { std::ofstream(victim) << "precious"; }
  ASSERT_EQ(symlink(victim.c_str(), (directory.path() + "/timestamp-floor.new").c_str()), 0);
  auto store = TimestampStore::open(directory.path());
  ASSERT_TRUE(store.ok());
  EXPECT_FALSE(store->store(1).ok());
  struct stat info {};
  ASSERT_EQ(stat(victim.c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 8);
}

TEST(TimestampStore, store_that_cannot_be_written_keeps_old_floor) {
  TemporaryDirectory directory;
  const std::string state = directory.path() + "/state";
  auto store = TimestampStore::open(state);
  ASSERT_TRUE(store.ok());
  std::filesystem::remove_all(state);
  EXPECT_FALSE(store->store(5).ok());
  EXPECT_EQ(store->floor_ns(), 0U);
}

}  // namespace
}  // namespace penstock
