#include "metad/journal/journal.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <span>

#include "base/async/sync.h"
#include "base/crc32c.h"
#include "base/io/uring_device.h"
#include "tests/support/temp_directory.h"

namespace shoal::metad {
namespace {

constexpr std::uint64_t kSegmentBytes = 256 * 1024;

class JournalTest : public testing::Test {
 protected:
  void SetUp() override {
    loop_ = std::move(EventLoop::create("journal-test")).value();
    io_ = std::move(IoContext::create(*loop_)).value();
    directory_ = std::move(FileDirectory::open(*io_, temp_.path() + "/journal")).value();
    loop_->start();
  }
  void TearDown() override {
    close();
    directory_.reset();
    loop_->stop();
    loop_->join();
    io_.reset();
  }
  void close() {
    if (journal_ != nullptr) sync_wait(*loop_, journal_->close());
    journal_.reset();
  }
  // Opens and collects what is replayed.
  Status open(std::uint64_t after = 0) {
    close();
    replayed_.clear();
    auto opened =
        sync_wait(*loop_, Journal::open(*directory_, kSegmentBytes, after,
                                        [this](std::uint64_t position, std::string_view text) {
                                          replayed_.emplace_back(position, text);
                                          return OkStatus();
                                        }));
    if (!opened.ok()) return opened.status();
    journal_ = std::move(*opened);
    return OkStatus();
  }
  static std::string command(std::uint64_t position) {
    return "command " + std::to_string(position) + std::string(position % 3000, 'x');
  }
  void append(std::uint64_t count, std::uint64_t at_once) {
    for (std::uint64_t done = 0; done < count; done += at_once) {
      const std::uint64_t first = journal_->last_position() + 1;
      std::vector<std::string> texts;
      for (std::uint64_t i = 0; i < at_once; ++i) texts.push_back(command(first + i));
      const std::vector<std::string_view> views(texts.begin(), texts.end());
      ASSERT_TRUE(sync_wait(*loop_, journal_->write(first, views)).ok());
    }
  }
  void expect_replayed(std::uint64_t first, std::uint64_t last) {
    ASSERT_EQ(replayed_.size(), last - first + 1);
    for (std::uint64_t i = 0; i < replayed_.size(); ++i) {
      EXPECT_EQ(replayed_[i].first, first + i);
      EXPECT_EQ(replayed_[i].second, command(first + i));
    }
  }
  // Changes a byte of the batch that holds `text`.
  void flip(const std::string& text) {
    for (const auto& entry : std::filesystem::directory_iterator(temp_.path() + "/journal")) {
      const int fd = ::open(entry.path().c_str(), O_RDWR);
      std::string content(std::filesystem::file_size(entry.path()), '\0');
      ASSERT_EQ(pread(fd, content.data(), content.size(), 0), static_cast<ssize_t>(content.size()));
      const std::size_t at = content.find(text);
      if (at != std::string::npos) {
        const char changed = static_cast<char>(content[at] ^ 1);
        ASSERT_EQ(pwrite(fd, &changed, 1, static_cast<off_t>(at)), 1);
        fsync(fd);
        ::close(fd);
        return;
      }
      ::close(fd);
    }
    FAIL() << "nothing to flip";
  }

  test::TempDirectory temp_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<IoContext> io_;
  std::unique_ptr<FileDirectory> directory_;
  std::unique_ptr<Journal> journal_;
  std::vector<std::pair<std::uint64_t, std::string>> replayed_;
};

TEST_F(JournalTest, TheNextFileIsMadeWhileTheOneInUseFills) {
  const auto files = [&] {
    const std::filesystem::directory_iterator all(temp_.path() + "/journal");
    return std::distance(begin(all), end(all));
  };
  ASSERT_TRUE(open().ok());
  append(1, 1);
  close();
  EXPECT_EQ(files(), 1);
  ASSERT_TRUE(open().ok());
  for (std::uint64_t bytes = kPageSize; bytes <= kSegmentBytes / 2; bytes += kPageSize)
    append(1, 1);
  close();
  EXPECT_EQ(files(), 2);
  ASSERT_TRUE(open().ok());
  append(1, 1);
  close();
  EXPECT_EQ(files(), 2);  // the free one is still there
}

TEST_F(JournalTest, WhatWasWrittenIsReplayedInOrderAcrossFiles) {
  ASSERT_TRUE(open().ok());
  append(600, 3);
  ASSERT_TRUE(open().ok());
  expect_replayed(1, 600);
  append(30, 1);
  ASSERT_TRUE(open(100).ok());
  expect_replayed(101, 630);
}

TEST_F(JournalTest, TrimmedFilesAreUsedAgain) {
  ASSERT_TRUE(open().ok());
  for (int round = 0; round < 20; ++round) {
    append(150, 5);
    journal_->trim(journal_->last_position());
  }
  const auto files = std::distance(std::filesystem::directory_iterator(temp_.path() + "/journal"),
                                   std::filesystem::directory_iterator());
  EXPECT_LE(files, 4);
  const std::uint64_t last = journal_->last_position();
  append(10, 1);
  ASSERT_TRUE(open(last).ok());
  expect_replayed(last + 1, last + 10);
}

TEST_F(JournalTest, ATornLastBatchIsTheEnd) {
  ASSERT_TRUE(open().ok());
  append(20, 1);
  flip("command 20x");
  ASSERT_TRUE(open().ok());
  expect_replayed(1, 19);
  append(1, 1);
  ASSERT_TRUE(open().ok());
  expect_replayed(1, 20);
}

TEST_F(JournalTest, DamageInTheMiddleIsCorruptionNamedWithFileAndByte) {
  ASSERT_TRUE(open().ok());
  append(20, 1);
  flip("command 10x");
  const Status status = open();
  EXPECT_EQ(status.code(), StatusCode::kCorruption);
  EXPECT_NE(status.message().find("journal-"), std::string::npos);
  EXPECT_NE(status.message().find("byte"), std::string::npos);
}

TEST_F(JournalTest, AFlippedHeaderIsCorruptionAndNotAnUnusedFile) {
  ASSERT_TRUE(open().ok());
  append(20, 1);
  flip("SHJRNL01");
  const Status status = open();
  EXPECT_EQ(status.code(), StatusCode::kCorruption);
  EXPECT_NE(status.message().find("at byte 0: the header does not verify"), std::string::npos)
      << status.message();
  // What it holds is in the checkpoint: the file counts as unused.
  EXPECT_TRUE(open(20).ok());
}

TEST_F(JournalTest, AMissingFileInTheMiddleIsNamed) {
  ASSERT_TRUE(open().ok());
  append(600, 3);
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(temp_.path() + "/journal"))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  ASSERT_GE(files.size(), 3U);
  close();
  std::filesystem::remove(files[1]);
  const Status status = open();
  EXPECT_EQ(status.code(), StatusCode::kCorruption);
  EXPECT_NE(status.message().find(files[2].filename().string()), std::string::npos)
      << status.message();
  EXPECT_NE(status.message().find("is missing"), std::string::npos) << status.message();
}

TEST_F(JournalTest, ADamagedEndOfAFileThatIsNotTheLastIsNamedWithItsByte) {
  ASSERT_TRUE(open().ok());
  append(600, 3);
  // The last batch of the first file: the one before the first position of the second.
  std::uint64_t position = 0;
  {
    std::ifstream second(temp_.path() + "/journal/journal-00000002", std::ios::binary);
    JournalFileHeader header{};
    second.read(reinterpret_cast<char*>(&header), sizeof header);
    position = header.first_position;
  }
  flip("command " + std::to_string(position - 1) + "x");
  const Status status = open();
  EXPECT_EQ(status.code(), StatusCode::kCorruption);
  EXPECT_NE(status.message().find("journal-00000001 is missing, or the latter is damaged at byte"),
            std::string::npos)
      << status.message();
}

TEST_F(JournalTest, ANewerVersionIsRefusedByName) {
  ASSERT_TRUE(open().ok());
  append(5, 1);
  close();
  const std::string path = temp_.path() + "/journal/journal-00000001";
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  JournalFileHeader header{};
  file.read(reinterpret_cast<char*>(&header), sizeof header);
  header.format_version = kJournalFormatVersion + 1;
  header.crc = 0;
  header.crc = crc32c(std::as_bytes(std::span(&header, 1)));
  file.seekp(0);
  file.write(reinterpret_cast<const char*>(&header), sizeof header);
  file.close();
  const Status status = open();
  EXPECT_EQ(status.code(), StatusCode::kNotSupported);
  EXPECT_NE(status.message().find("newer than this program knows"), std::string::npos);
}

TEST_F(JournalTest, AGapBehindTheCheckpointIsCorruption) {
  ASSERT_TRUE(open().ok());
  for (int round = 0; round < 3; ++round) {
    append(300, 5);
    journal_->trim(journal_->last_position());
  }
  append(200, 5);
  EXPECT_EQ(open(0).code(), StatusCode::kCorruption);
}

}  // namespace
}  // namespace shoal::metad
