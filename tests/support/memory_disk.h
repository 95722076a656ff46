// MemoryDisk: files in memory behind BlockDirectory, with faults that a test turns on: pages that
// cannot be read, writes that fail, calls that hang, bits that flip. It stays while drives on it are
// opened and closed. Nothing here is lost by a crash: that is tests/sim's and tests/crash's work.
// Belongs to one executor.
#pragma once

#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/async/sync.h"
#include "base/io/block_device.h"

namespace shoal::test {

class MemoryDisk {
 public:
  struct File {
    std::vector<std::byte> bytes;
    std::set<std::uint64_t> unreadable_pages;
    std::set<std::uint64_t> written_pages;
  };

  // Everything this disk holds, by name.
  std::map<std::string, std::shared_ptr<File>> files;
  std::uint64_t space_bytes = 1ULL << 40;
  Status write_error;  // answers every write, create, remove and rename unless OK
  std::uint64_t writes_left = ~std::uint64_t{0};  // the writes behind these fail
  bool hang = false;   // reads and writes wait until release()
  std::uint64_t reads = 0;
  std::uint64_t read_bytes = 0;
  std::uint64_t largest_read = 0;
  std::uint64_t write_bytes = 0;

  void release() {
    hang = false;
    released_.notify_all();
  }
  Task<void> wait_while_hung() {
    co_await yield();
    while (hang) co_await released_.wait();
  }
  // A directory of this disk, as often as one is opened.
  std::unique_ptr<BlockDirectory> directory();

 private:
  Signal released_;
};

class MemoryDevice final : public BlockDevice {
 public:
  MemoryDevice(MemoryDisk& disk, std::shared_ptr<MemoryDisk::File> file, std::string name)
      : disk_(disk),
        file_(std::move(file)),
        name_(std::move(name)),
        was_written_(file_->written_pages.size() * kPageSize >= file_->bytes.size()) {}
  std::uint64_t size_bytes() const override { return round_down(file_->bytes.size(), kPageSize); }
  const std::string& name() const override { return name_; }
  bool was_written() const override { return was_written_; }
  std::uint64_t flush_count() const override { return flushes_; }

  Task<Status> write(std::uint64_t offset, BufferList pieces, WriteMode mode) override {
    co_await disk_.wait_while_hung();
    if (!disk_.write_error.ok()) co_return disk_.write_error;
    if (disk_.writes_left == 0) co_return IoError(name_ + ": written often enough");
    --disk_.writes_left;
    CHECK(offset % kPageSize == 0 && offset + total_size(pieces) <= file_->bytes.size());
    disk_.write_bytes += total_size(pieces);
    for (const Buffer& piece : pieces) {
      CHECK(piece.page_aligned() && piece.size() % kPageSize == 0);
      if (!piece.empty()) std::memcpy(file_->bytes.data() + offset, piece.data(), piece.size());
      for (const std::uint64_t end = offset + piece.size(); offset < end; offset += kPageSize)
        file_->written_pages.insert(offset / kPageSize);
    }
    if (mode == WriteMode::kDurable) ++flushes_;
    co_return OkStatus();
  }
  Task<Result<Buffer>> read(std::uint64_t offset, std::size_t length) override {
    co_await disk_.wait_while_hung();
    ++disk_.reads;
    disk_.read_bytes += length;
    disk_.largest_read = std::max<std::uint64_t>(disk_.largest_read, length);
    if (offset > file_->bytes.size() || length > file_->bytes.size() - offset)
      co_return OutOfRangeError(name_ + ": a read behind the end");
    for (std::uint64_t page = offset / kPageSize; page * kPageSize < offset + length; ++page) {
      if (file_->unreadable_pages.contains(page))
        co_return IoError(name_ + ": page " + std::to_string(page) + " cannot be read");
    }
    co_return Buffer::copy_of(std::span(file_->bytes).subspan(offset, length));
  }
  Task<Status> flush() override {
    co_await disk_.wait_while_hung();
    ++flushes_;
    co_return disk_.write_error;
  }

 private:
  MemoryDisk& disk_;
  const std::shared_ptr<MemoryDisk::File> file_;
  const std::string name_;
  const bool was_written_;
  std::uint64_t flushes_ = 0;
};

class MemoryDirectory final : public BlockDirectory {
 public:
  explicit MemoryDirectory(MemoryDisk& disk) : disk_(disk) {}
  const std::string& path() const override { return path_; }
  Task<Result<std::vector<std::string>>> list() override {
    std::vector<std::string> names;
    for (const auto& [name, file] : disk_.files) names.push_back(name);
    co_return names;
  }
  Task<Result<std::unique_ptr<BlockDevice>>> open(std::string name) override {
    const auto found = disk_.files.find(name);
    if (found == disk_.files.end()) co_return NotFoundError(name + " is not there");
    co_return std::unique_ptr<BlockDevice>(
        std::make_unique<MemoryDevice>(disk_, found->second, name));
  }
  Task<Result<std::unique_ptr<BlockDevice>>> create(std::string name, std::uint64_t size_bytes,
                                                    bool) override {
    co_await disk_.wait_while_hung();
    if (!disk_.write_error.ok()) co_return disk_.write_error;
    auto file = std::make_shared<MemoryDisk::File>();
    file->bytes.resize(size_bytes);
    const bool made = disk_.files.emplace(name, std::move(file)).second;
    if (!made) co_return AlreadyExistsError(name + " is there");
    co_return co_await open(name);
  }
  bool prewriting_helps() const override { return true; }
  Task<Status> remove(std::string name) override {
    if (!disk_.write_error.ok()) co_return disk_.write_error;
    disk_.files.erase(name);
    co_return OkStatus();
  }
  Task<Status> rename(std::string from, std::string to) override {
    if (!disk_.write_error.ok()) co_return disk_.write_error;
    const auto found = disk_.files.find(from);
    if (found == disk_.files.end()) co_return NotFoundError(from + " is not there");
    disk_.files[to] = found->second;
    disk_.files.erase(from);
    co_return OkStatus();
  }
  Task<Status> check_present() override { co_return OkStatus(); }
  Result<Space> space() override { return Space{disk_.space_bytes, disk_.space_bytes}; }

 private:
  MemoryDisk& disk_;
  const std::string path_ = "memory";
};

inline std::unique_ptr<BlockDirectory> MemoryDisk::directory() {
  return std::make_unique<MemoryDirectory>(*this);
}

}  // namespace shoal::test
