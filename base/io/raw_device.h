// DeviceDirectory: a raw block device that holds named files of fixed size, as a drive's log wants
// them, without a file system. Belongs to one executor.
//
//   page 0          DeviceHeader
//   then            table pages, each in two copies one after the other: the newer valid one counts
//   from 1 MiB on   files, each at a multiple of 1 MiB and in one piece
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/async/sync.h"
#include "base/io/uring_device.h"

namespace shoal {

// Whether there is a block device at this path.
bool is_block_device(const std::string& path);

class DeviceDirectory final : public BlockDirectory {
 public:
  // Takes the device for this object alone until it is destroyed. With `make`, a device that begins
  // with nothing but zeros becomes an empty directory. Errors: as open(2); kBusy when it is mounted
  // or another process holds it; kNotFound when it is blank and `make` is off; kInvalidArgument
  // when it holds something else; kNotSupported for a newer format; kCorruption.
  static Task<Result<std::unique_ptr<DeviceDirectory>>> open(IoContext& io, std::string path,
                                                             bool make);
  // The same, with open_when_free's patience.
  static Task<Result<std::unique_ptr<DeviceDirectory>>> open_when_free(IoContext& io,
                                                                       std::string path, bool make);

  const std::string& path() const override { return path_; }
  Task<Result<std::vector<std::string>>> list() override;
  Task<Result<std::unique_ptr<BlockDevice>>> open(std::string name) override;
  // A file is written with zeros in any case: what lay on the device before must not come back.
  Task<Result<std::unique_ptr<BlockDevice>>> create(std::string name, std::uint64_t size_bytes,
                                                    bool prewrite) override;
  bool prewriting_helps() const override { return false; }
  Task<Status> remove(std::string name) override;
  // Errors: kNotSupported when the two names are in different pages of the table.
  Task<Status> rename(std::string from, std::string to) override;
  Task<Status> check_present() override;
  Result<Space> space() override;

 private:
  struct File {
    std::string name;  // empty: a free place of the table
    std::uint64_t offset = 0;
    std::uint64_t size = 0;
  };
  struct TablePage {
    std::uint64_t generation = 0;  // 0: never written
    std::vector<File> files;       // one for each place
  };

  DeviceDirectory(std::string path, std::shared_ptr<BlockDevice> device);
  Task<Status> load(bool make);
  Task<Status> load_page(std::size_t index);
  Task<Status> write_page(std::size_t index);
  Task<Status> write_zeros(std::uint64_t offset, std::uint64_t size);
  // Where a file of `size` may lie. Errors: kNoSpace.
  Result<std::uint64_t> find_space(std::uint64_t size) const;
  Result<std::size_t> free_place() const;  // of the whole table
  File& place(std::size_t number);
  std::unique_ptr<BlockDevice> slice(const File& file) const;

  const std::string path_;
  const std::shared_ptr<BlockDevice> device_;
  std::uint64_t data_offset_ = 0;
  std::vector<TablePage> pages_;
  AsyncMutex table_mutex_;                       // one page is written at a time
  std::map<std::string, std::size_t> by_name_;   // to its place
  std::map<std::uint64_t, std::uint64_t> used_;  // offset to size, in bytes
};

}  // namespace shoal
