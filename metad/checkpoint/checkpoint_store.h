// CheckpointStore: the state's records, with the journal position up to which they are complete. A
// checkpoint is one atomic batch; what it does not hold yet is in our journal. Blocking: called
// from a pool thread, one call at a time. The real one is RocksDB with its own log off; simulations
// put one in memory in its place.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace shoal::metad {

class CheckpointStore {
 public:
  using Change = std::pair<std::string, std::optional<std::string>>;
  using Visit = std::function<Status(std::string_view key, std::string_view value)>;

  // In RocksDB. Errors: kCorruption, kIoError, kBusy when another process has it open.
  static Result<std::unique_ptr<CheckpointStore>> open(const std::string& path);
  virtual ~CheckpointStore() = default;

  // Gives every record; returns the applied position, 0 for a new store. Errors: kCorruption; what
  // `visit` says.
  virtual Result<std::uint64_t> load(const Visit& visit) = 0;
  // *Durable:* all changes and the position together; a crash meanwhile leaves all or none of them.
  // Errors: kIoError, kNoSpace.
  virtual Status write(const std::vector<Change>& changes, std::uint64_t applied_position) = 0;
};

}  // namespace shoal::metad
