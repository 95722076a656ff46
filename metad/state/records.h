// The records of a checkpoint: one key (record_key.h) and value for each inode, entry, pack,
// session, upload and so on. Written from a State; read into one by StateLoader (loader.h).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "metad/state/state.h"

namespace shoal::metad {

// The present value of a record; nothing when it is gone.
std::optional<std::string> make_record(const State& state, std::string_view key);

// Of all but inodes and entries. Errors: kCorruption naming the record.
Status read_small_record(State* state, std::string_view key, std::string_view value);

// kCorruption of a record.
Status record_error(std::string_view key, const std::string& what);

}  // namespace shoal::metad
