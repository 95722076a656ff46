// BlockDevice: a file or raw device of fixed-size pages. The one way to storage for logs and
// journals, so that tests can put a device under them that forgets, tears or reorders what was not
// flushed. Belongs to one executor.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/async/task.h"
#include "base/buffer.h"
#include "base/result.h"

namespace shoal {

enum class WriteMode {
  kVolatile,  // done when the device has taken the bytes; durable only after flush()
  kDurable,   // done when the bytes survive a power loss (RWF_DSYNC)
};

class BlockDevice {
 public:
  virtual ~BlockDevice() = default;

  // Bytes that may be addressed.
  virtual std::uint64_t size_bytes() const = 0;
  virtual const std::string& name() const = 0;

  // Writes the pieces one after another at `offset`. Offset and every piece's address and size are
  // whole pages. Two writes under way have no order between them. kDurable: *Durable:* all bytes,
  // once it returned OK. Errors: kIoError (the device is then poisoned: every later write fails),
  // kNoSpace, kInvalidArgument.
  virtual Task<Status> write(std::uint64_t offset, BufferList pieces, WriteMode mode) = 0;

  // Reads `length` bytes at `offset`, both whole pages. Errors: kIoError, kOutOfRange past the end.
  virtual Task<Result<Buffer>> read(std::uint64_t offset, std::size_t length) = 0;

  // *Durable:* every write that had returned before flush() was called. A failed flush poisons the
  // device: what is on it is unknown, so it is never retried. Errors: kIoError.
  virtual Task<Status> flush() = 0;

  // Whether every byte had been written once when it was opened: see
  // BlockDirectory::prewriting_helps().
  virtual bool was_written() const { return true; }

  // Flushes and durable writes that were sent to the device, for the benchmark.
  virtual std::uint64_t flush_count() const = 0;
};

// What a drive or a journal needs of a directory: named files of a fixed size that act as block
// devices.
class BlockDirectory {
 public:
  virtual ~BlockDirectory() = default;

  virtual const std::string& path() const = 0;
  // Names in byte order.
  virtual Task<Result<std::vector<std::string>>> list() = 0;
  // Opens an existing file. Errors: kNotFound.
  virtual Task<Result<std::unique_ptr<BlockDevice>>> open(std::string name) = 0;
  // Whether a durable write costs less where something was written before: a file system then has
  // no change of its own to make durable.
  virtual bool prewriting_helps() const = 0;
  // Makes a file of `size_bytes`, space reserved. With `prewrite` every byte is written with zeros
  // once and flushed. *Durable:* the file's name and size. Errors: kAlreadyExists, kNoSpace.
  virtual Task<Result<std::unique_ptr<BlockDevice>>> create(std::string name,
                                                            std::uint64_t size_bytes,
                                                            bool prewrite) = 0;
  // *Durable:* that the name is gone. The caller has closed the device.
  virtual Task<Status> remove(std::string name) = 0;
  // Replaces `to` by `from`, atomically. *Durable:* the new state.
  virtual Task<Status> rename(std::string from, std::string to) = 0;
  // Whether the directory is still at its path, and not moved away or replaced by another one.
  // Errors: kIoError.
  virtual Task<Status> check_present() = 0;
  struct Space {
    std::uint64_t total_bytes;
    std::uint64_t free_bytes;
  };
  virtual Result<Space> space() = 0;
};

}  // namespace shoal
