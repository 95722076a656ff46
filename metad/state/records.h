// The records of a checkpoint: one key and value for each inode, dentry, pack, session, upload and
// so on. The first byte of a key says what it is of. Pure with respect to State.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "metad/state/state.h"

namespace shoal::metad {

inline constexpr std::uint32_t kStateFormatVersion = 1;

// A dentry that was read before its directory or its inode may have been.
struct PendingDentry {
  std::uint64_t directory;
  std::string key;
  std::uint64_t inode;
};

// The present value of a record; nothing when it is gone.
std::optional<std::string> make_record(State& state, const std::string& key);
// Errors: kCorruption naming the record, kNotSupported for a newer format.
Status read_record(State* state, std::string_view key, std::string_view value,
                   std::vector<PendingDentry>* dentries);
// After the last record: ties dentries to inodes and recounts what is derived (link counts must
// agree; live bytes).
Status finish_records(State* state, std::vector<PendingDentry>* dentries);

}  // namespace shoal::metad
