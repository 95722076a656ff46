// CheckpointStore: the state's records in RocksDB, with the journal position up to which they are
// complete. RocksDB's own log is off: a checkpoint is one atomic batch, flushed; what it does not
// hold yet is in our journal. Blocking: called from a pool thread, one call at a time.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace rocksdb {
class DB;
}

namespace shoal::metad {

class CheckpointStore {
 public:
  using Change = std::pair<std::string, std::optional<std::string>>;
  using Visit = std::function<Status(std::string_view key, std::string_view value)>;

  // Errors: kCorruption, kIoError, kBusy when another process has it open.
  static Result<std::unique_ptr<CheckpointStore>> open(const std::string& path);
  ~CheckpointStore();

  // Gives every record; returns the applied position, 0 for a new store. Errors: kCorruption; what
  // `visit` says.
  Result<std::uint64_t> load(const Visit& visit);
  // *Durable:* all changes and the position together. Errors: kIoError, kNoSpace.
  Status write(const std::vector<Change>& changes, std::uint64_t applied_position);

 private:
  explicit CheckpointStore(std::unique_ptr<rocksdb::DB> db);
  std::unique_ptr<rocksdb::DB> db_;
};

}  // namespace shoal::metad
