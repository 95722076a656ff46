// MemoryDriveTest: a drive on a MemoryDisk, in one thread on a virtual clock.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/async/manual_executor.h"
#include "storaged/store/drive.h"
#include "tests/support/drive_requests.h"
#include "tests/support/memory_disk.h"

namespace shoal::test {

class MemoryDriveTest : public testing::Test {
 protected:
  MemoryDriveTest() {
    options_.identity = kDriveIdentity;
    options_.segment_bytes = 256 << 10;
    options_.max_bytes = 64 << 20;
    options_.format_if_empty = true;
  }
  void SetUp() override { ASSERT_TRUE(open().ok()); }
  void TearDown() override {
    disk_.release();
    close();
  }
  Status open() {
    auto opened = executor_.run(storaged::Drive::open(disk_.directory(), options_));
    if (!opened.ok()) return opened.status();
    drive_ = std::move(*opened);
    return OkStatus();
  }
  void close() {
    if (drive_ == nullptr) return;
    executor_.run(drive_->close());
    drive_.reset();
  }
  void reopen() {
    close();
    const Status opened = open();
    ASSERT_TRUE(opened.ok()) << opened.to_string();
  }
  Status write(WriteFragmentRequest request) {
    return executor_.run(drive_->write_fragment(std::move(request)));
  }
  Status write(PackId pack, std::uint32_t row, std::uint32_t bytes, std::uint64_t seed,
               std::uint64_t epoch = 1) {
    return write(make_write(pack, row, bytes, seed, epoch));
  }
  Status repair(PackId pack, std::uint32_t row, std::uint32_t bytes, std::uint64_t seed) {
    WriteFragmentRequest request = make_write(pack, row, bytes, seed);
    request.repair = true;
    return write(std::move(request));
  }
  Result<Buffer> read(PackId pack, std::uint32_t row, std::uint32_t offset, std::uint32_t length) {
    return executor_.run(drive_->read_fragment(make_read(pack, row, offset, length)));
  }
  void expect_content(PackId pack, std::uint32_t row, std::uint32_t bytes, std::uint64_t seed) {
    const auto found = read(pack, row, 0, bytes);
    ASSERT_TRUE(found.ok()) << found.status().to_string();
    EXPECT_EQ(found->view(), make_write(pack, row, bytes, seed).payload[0].view()) << "row " << row;
  }
  StatusCode read_code(PackId pack, std::uint32_t row) {
    return read(pack, row, 0, 1).status().code();
  }
  std::vector<DamagedFragment> damaged() { return drive_->damaged_fragments({}, 100'000); }
  std::uint64_t fragments() { return drive_->status().fragment_count; }

  // Where the payload of that write lies.
  struct Place {
    std::shared_ptr<MemoryDisk::File> file;
    std::uint64_t offset = 0;
  };
  Place place_of(PackId pack, std::uint32_t row, std::uint32_t bytes, std::uint64_t seed) {
    const Buffer payload = make_write(pack, row, bytes, seed).payload[0];
    for (const auto& [name, file] : disk_.files) {
      const auto at = std::search(file->bytes.begin(), file->bytes.end(), payload.data(),
                                  payload.data() + std::min<std::size_t>(payload.size(), 64));
      if (at != file->bytes.end())
        return {file, static_cast<std::uint64_t>(at - file->bytes.begin())};
    }
    ADD_FAILURE() << "the payload is on no file";
    return {std::make_shared<MemoryDisk::File>(
                MemoryDisk::File{std::vector<std::byte>(1 << 20), {}, {}}),
            4096};
  }
  void flip(const Place& place, std::uint64_t delta = 0) {
    place.file->bytes.at(place.offset + delta) ^= std::byte{1};
  }

  VirtualClock clock_;
  ManualExecutor executor_{clock_};
  MemoryDisk disk_;
  storaged::DriveOptions options_;
  std::unique_ptr<storaged::Drive> drive_;
};

}  // namespace shoal::test
