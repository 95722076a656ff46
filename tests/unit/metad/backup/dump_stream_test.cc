#include "metad/backup/dump_stream.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <map>

#include "base/file_io.h"
#include "tests/support/temp_directory.h"

namespace shoal::metad {
namespace {

using Records = std::map<std::string, std::string>;

class DumpStreamTest : public testing::Test {
 protected:
  static Records some() {
    Records records{{"g", ""}, {std::string("n\0\xff", 3), std::string(3 << 20, 'x')}};
    for (int i = 0; i < 5000; ++i) records["i" + std::to_string(i)] = std::string(500, 'v');
    return records;
  }
  // A dump's bytes.
  std::string dump(const Records& records) {
    const std::string path = temp_.path() + "/made";
    unlink(path.c_str());
    auto file = DumpFile::make(path);
    EXPECT_TRUE(file.ok());
    DumpWriter writer(file->fd(), path);
    EXPECT_TRUE(writer.begin(77).ok());
    for (const auto& [key, value] : records) EXPECT_TRUE(writer.add(key, value).ok());
    EXPECT_TRUE(writer.finish().ok());
    EXPECT_EQ(writer.records(), records.size());
    return *read_file(path, 64 << 20);
  }
  Status read(const std::string& bytes, Records* records = nullptr) {
    const std::string path = temp_.path() + "/read";
    std::ofstream(path, std::ios::binary) << bytes;
    const int fd = open(path.c_str(), O_RDONLY);
    DumpReader reader(fd, "the dump");
    Status status = reader.begin();
    if (status.ok()) {
      EXPECT_EQ(reader.position(), 77U);
      status = reader.read([&](std::string_view key, std::string_view value) {
        if (records != nullptr) (*records)[std::string(key)] = value;
        return OkStatus();
      });
    }
    close(fd);
    return status;
  }

  test::TempDirectory temp_;
};

TEST_F(DumpStreamTest, WhatIsDumpedIsReadAgain) {
  for (const Records& records : {Records(), some()}) {
    Records back;
    const Status status = read(dump(records), &back);
    EXPECT_TRUE(status.ok()) << status.to_string();
    EXPECT_EQ(back, records);
  }
}

TEST_F(DumpStreamTest, AnyCutIsNoticed) {
  const std::string bytes = dump({{"a", "b"}, {"c", "d"}});
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    const Status status = read(bytes.substr(0, length));
    EXPECT_EQ(status.code(), StatusCode::kCorruption) << length;
    EXPECT_NE(status.message().find("cut short"), std::string::npos) << status.message();
  }
  EXPECT_EQ(read(bytes + "x").code(), StatusCode::kCorruption);
}

TEST_F(DumpStreamTest, AnyFlippedByteIsNoticedAndNamed) {
  const std::string bytes = dump({{"a", "b"}, {"c", "d"}});
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    std::string damaged = bytes;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    const Status status = read(damaged);
    EXPECT_FALSE(status.ok()) << at;
    EXPECT_NE(status.message().find("the dump"), std::string::npos) << status.message();
  }
}

TEST_F(DumpStreamTest, ALostBlockIsNoticed) {
  const std::string bytes = dump(some());
  DumpBlockHeader first{};
  std::memcpy(&first, bytes.data() + sizeof(DumpHeader), sizeof first);
  const std::string without = bytes.substr(0, sizeof(DumpHeader)) +
                              bytes.substr(sizeof(DumpHeader) + sizeof first + first.bytes);
  const Status status = read(without);
  EXPECT_EQ(status.code(), StatusCode::kCorruption);
  EXPECT_NE(status.message().find("other blocks"), std::string::npos) << status.message();
}

TEST_F(DumpStreamTest, ANewerVersionIsRefusedByName) {
  std::string bytes = dump({});
  bytes[8] = 2;
  Status status = read(bytes);
  EXPECT_EQ(status.code(), StatusCode::kNotSupported);
  EXPECT_NE(status.message().find("dump format version 2"), std::string::npos);
  status = read(std::string(100, 'x'));
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
}

TEST_F(DumpStreamTest, NothingIsOverwritten) {
  const std::string path = temp_.path() + "/made";
  dump({});
  EXPECT_EQ(DumpFile::make(path).status().code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(DumpFile::make("relative").status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace shoal::metad
