// Loading a dump into a metadata directory where there is none. Blocking; for administration.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace shoal::metad {

struct RestoreReport {
  std::uint64_t records = 0;
  std::uint64_t position = 0;
  std::uint64_t inodes = 0;
  std::uint64_t kept_packs = 0;  // that were open at the time of the dump
};

// Reads the dump from `fd`, which errors call `name`, checks that it is whole and fits together,
// and makes `metad_path`/checkpoint of it. The state is one to go on from, though the drives may be
// newer: StateMachine::become_restored. *Durable:* all of it, or nothing but a directory
// checkpoint.loading, which the next load removes. Errors: kAlreadyExists when metadata is there
// already; kInvalidArgument when the dump is of another cluster than `cluster_uuid`; kCorruption
// naming what is damaged; kNotSupported for a newer format.
Result<RestoreReport> restore_dump(int fd, const std::string& name, const std::string& metad_path,
                                   const std::string& cluster_uuid);

}  // namespace shoal::metad
