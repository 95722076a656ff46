// ScrubRecord: how far a drive's scrub has come, so that a restart goes on with the pass and knows
// when the next one is due. One page in the file "scrub" of the drive, overwritten in place; a page
// that does not verify only makes the next pass begin anew.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/io/block_device.h"
#include "base/result.h"
#include "storaged/log/format.h"

namespace shoal::storaged {

inline constexpr std::uint64_t kScrubMagic = 0x3130425243534853;  // "SHSCRB01"

struct ScrubRecord {
  std::uint64_t magic;
  std::uint32_t format_version;
  std::uint32_t crc;                // of this struct with crc = 0
  Uuid drive_uuid;                  // a file of another drive
  std::int64_t last_finished_ns;    // since 1970, of the last whole pass; 0: none yet
  std::int64_t next_due_ns;         // when the next pass is to begin
  std::uint64_t pass_end;           // generation that the pass under way ends before; 0: none is
  std::uint64_t cursor_generation;  // of the last segment that it is done with
};
static_assert(sizeof(ScrubRecord) == 64 && offsetof(ScrubRecord, cursor_generation) == 56);

// The drive's record. One that is not there, cannot be read or does not verify is all zeros but for
// drive_uuid, and `*found` is false.
Task<ScrubRecord> read_scrub_record(BlockDirectory& directory, Uuid drive_uuid, bool* found);
// *Durable:* the record, or the one before, or none. Errors: as BlockDirectory::create and
// BlockDevice::write.
Task<Status> write_scrub_record(BlockDirectory& directory, ScrubRecord record);

}  // namespace shoal::storaged
