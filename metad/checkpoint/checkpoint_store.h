// CheckpointStore: the state's records, with the journal position up to which they are complete. A
// checkpoint is one atomic batch; what it does not hold yet is in our journal. Blocking: called
// from a pool thread, one call at a time but for load(). The real one is RocksDB with its own log
// off; simulations put one in memory in its place.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/compact.h"
#include "base/result.h"

namespace shoal::metad {

// Records that changed, packed in blocks, so that very many cost little to keep and to drop.
class CheckpointChanges {
 public:
  // `value` may be null: the record is gone. A key that comes again counts with its last value.
  void add(std::string_view key, const std::string* value);
  std::size_t block_count() const { return blocks_.size(); }
  // Calls `visit(key, value)` in the order of adding; `value` is an optional string_view.
  template <typename Visit>
  void for_each_in_block(std::size_t block, const Visit& visit) const {
    CompactReader in(blocks_[block]);
    while (in.left() > 0) {
      const std::string_view key = in.text();
      const bool there = in.byte() != 0;
      visit(key, there ? std::optional(in.text()) : std::nullopt);
    }
  }
  template <typename Visit>
  void for_each(const Visit& visit) const {
    for (std::size_t block = 0; block < blocks_.size(); ++block) for_each_in_block(block, visit);
  }

 private:
  static constexpr std::size_t kBlockBytes = 256 * 1024;
  std::vector<std::string> blocks_;
};

class CheckpointStore {
 public:
  using Visit = std::function<Status(std::string_view key, std::string_view value)>;

  // In RocksDB; made if it is not there. Errors: kCorruption naming the file, kIoError, kBusy when
  // another process has it open, kNotSupported for records of another format version.
  static Result<std::unique_ptr<CheckpointStore>> open(const std::string& path);
  virtual ~CheckpointStore() = default;

  // Up to which command the records are complete; nothing in a new store.
  virtual std::optional<std::uint64_t> position() const = 0;
  // Gives every record, from up to `threads` threads: by first letter one after the other, and the
  // records whose first nine bytes are the same from one thread, in order. With one thread all are
  // in order, and of one moment, whatever is written meanwhile. Errors: kCorruption naming the
  // file; what `visit` says.
  virtual Status load(unsigned threads, const Visit& visit) = 0;
  // *Durable:* all changes and the position together; a crash meanwhile leaves all or none of them.
  // After an error it may be tried again with the same changes or more. Errors: kIoError, kNoSpace.
  virtual Status write(const CheckpointChanges& changes, std::uint64_t applied_position) = 0;
};

}  // namespace shoal::metad
