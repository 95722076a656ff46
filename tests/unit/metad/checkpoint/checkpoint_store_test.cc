#include "metad/checkpoint/checkpoint_store.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <thread>

#include "base/file_io.h"
#include "metad/state/record_key.h"
#include "tests/support/temp_directory.h"

namespace shoal::metad {
namespace {

using Records = std::map<std::string, std::string>;

class CheckpointStoreTest : public testing::Test {
 protected:
  Status open() {
    store_.reset();
    ASSIGN_OR_RETURN(store_, CheckpointStore::open(path_));
    return OkStatus();
  }
  Status write(const Records& records, std::uint64_t position,
               const std::vector<std::string>& gone = {}) {
    CheckpointChanges changes;
    for (const auto& [key, value] : records) changes.add(key, &value);
    for (const std::string& key : gone) changes.add(key, nullptr);
    return store_->write(changes, position);
  }
  Status read(unsigned threads, Records* records) {
    return store_->load(threads, [&](std::string_view key, std::string_view value) {
      const std::lock_guard lock(mutex_);
      EXPECT_TRUE(records->emplace(key, value).second) << "came twice";
      return OkStatus();
    });
  }
  // Some of each letter, with and without numbers.
  static Records many() {
    Records records{{"g", "globals"}, {"m", "map"}, {"c1/cors", "x"}, {"uupload", "y"}};
    for (std::uint64_t id = 1; id < 5000; id += 1 + id % 7) {
      records[number_key(kInodeLetter, id)] = std::string(40, 'i');
      records[number_key(kEntryLetter, id % 50) + std::to_string(id)] = "e";
      records[number_key(kPackLetter, id << 40)] = "p";
    }
    return records;
  }
  std::vector<std::filesystem::path> files(const std::string& extension) {
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::directory_iterator(path_))
      if (entry.path().extension() == extension) found.push_back(entry.path());
    return found;
  }

  test::TempDirectory temp_;
  std::string path_ = temp_.path() + "/checkpoint";
  std::unique_ptr<CheckpointStore> store_;
  std::mutex mutex_;
};

TEST_F(CheckpointStoreTest, WhatWasWrittenIsThereWithItsPosition) {
  ASSERT_TRUE(open().ok());
  EXPECT_FALSE(store_->position().has_value());
  ASSERT_TRUE(write(many(), 7).ok());
  ASSERT_TRUE(write({{"g", "newer"}}, 9, {"m", "not there"}).ok());
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(store_->position(), 9U);
  Records expected = many();
  expected["g"] = "newer";
  expected.erase("m");
  for (const unsigned threads : {1U, 2U, 5U}) {
    Records records;
    ASSERT_TRUE(read(threads, &records).ok());
    EXPECT_EQ(records, expected) << threads;
  }
}

TEST_F(CheckpointStoreTest, ThreadsKeepTheOrderThatLoadingNeeds) {
  ASSERT_TRUE(open().ok());
  ASSERT_TRUE(write(many(), 1).ok());
  char letter = 0;
  std::map<std::string, std::pair<std::thread::id, std::string>> last;  // by the first nine bytes
  const Status loaded = store_->load(3, [&](std::string_view key, std::string_view) {
    const std::lock_guard lock(mutex_);
    EXPECT_GE(key[0], letter);
    letter = key[0];
    const std::string head(key.substr(0, kNumberKeyBytes));
    const auto before = last.find(head);
    if (before != last.end()) {
      EXPECT_EQ(before->second.first, std::this_thread::get_id());
      EXPECT_LT(before->second.second, key);
    }
    last[head] = {std::this_thread::get_id(), std::string(key)};
    return OkStatus();
  });
  EXPECT_TRUE(loaded.ok());
  EXPECT_GT(last.size(), 1000U);
}

TEST_F(CheckpointStoreTest, TheFirstErrorOfAVisitEndsTheLoading) {
  ASSERT_TRUE(open().ok());
  ASSERT_TRUE(write(many(), 1).ok());
  for (const unsigned threads : {1U, 3U}) {
    const Status loaded = store_->load(threads, [](std::string_view key, std::string_view) {
      return key[0] == kInodeLetter ? CorruptionError("bad") : OkStatus();
    });
    EXPECT_EQ(loaded.message(), "bad");
  }
}

TEST_F(CheckpointStoreTest, AFlippedByteIsCorruptionNamedWithItsFile) {
  ASSERT_TRUE(open().ok());
  ASSERT_TRUE(write(many(), 1).ok());
  store_.reset();
  const auto tables = files(".sst");
  ASSERT_EQ(tables.size(), 1U);
  std::fstream file(tables[0], std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(1000);
  const char flipped = static_cast<char>(file.get() ^ 1);
  file.seekp(1000);
  file.put(flipped);
  file.close();
  Status status = open();
  Records records;
  if (status.ok()) status = read(2, &records);
  EXPECT_EQ(status.code(), StatusCode::kCorruption) << status.to_string();
  EXPECT_NE(status.message().find(tables[0].filename().string()), std::string::npos)
      << status.message();
}

TEST_F(CheckpointStoreTest, AMissingFileIsNamed) {
  ASSERT_TRUE(open().ok());
  ASSERT_TRUE(write(many(), 1).ok());
  store_.reset();
  const auto tables = files(".sst");
  ASSERT_EQ(tables.size(), 1U);
  std::filesystem::remove(tables[0]);
  Status status = open();
  Records records;
  if (status.ok()) status = read(1, &records);
  EXPECT_EQ(status.code(), StatusCode::kCorruption) << status.to_string();
  EXPECT_NE(status.message().find(tables[0].stem().string()), std::string::npos)
      << status.message();
}

TEST_F(CheckpointStoreTest, ADamagedManifestIsNamed) {
  ASSERT_TRUE(open().ok());
  ASSERT_TRUE(write(many(), 1).ok());
  store_.reset();
  for (const auto& entry : std::filesystem::directory_iterator(path_)) {
    if (!entry.path().filename().string().starts_with("MANIFEST")) continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(20);
    file.put('\x7f');
  }
  const Status status = open();
  EXPECT_EQ(status.code(), StatusCode::kCorruption) << status.to_string();
  EXPECT_NE(status.message().find(path_), std::string::npos);
}

TEST_F(CheckpointStoreTest, AnotherFormatVersionIsRefusedByName) {
  ASSERT_TRUE(open().ok());
  ASSERT_TRUE(write({{"g", "x"}}, 1).ok());
  store_.reset();
  ASSERT_TRUE(
      write_file_durably(path_ + "/FORMAT", "shoal checkpoint, format version 3\n", 0644).ok());
  Status status = open();
  EXPECT_EQ(status.code(), StatusCode::kNotSupported);
  EXPECT_NE(status.message().find("version 3, newer than this program knows (2)"),
            std::string::npos)
      << status.message();
  std::filesystem::remove(path_ + "/FORMAT");
  status = open();
  EXPECT_EQ(status.code(), StatusCode::kNotSupported);
  EXPECT_NE(status.message().find("version 1, which this program reads no more"), std::string::npos)
      << status.message();
  ASSERT_TRUE(write_file_durably(path_ + "/FORMAT", "something\n", 0644).ok());
  EXPECT_EQ(open().code(), StatusCode::kCorruption);
}

TEST_F(CheckpointStoreTest, OnlyOneProgramAtATime) {
  ASSERT_TRUE(open().ok());
  EXPECT_FALSE(CheckpointStore::open(path_).ok());
}

}  // namespace
}  // namespace shoal::metad
