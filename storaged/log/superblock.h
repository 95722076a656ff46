// Superblock: says what a drive is. Four copies, a page each; one that verifies is enough. It
// refuses by name a newer format, another cluster's drive and a drive in another one's place.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/ids.h"
#include "base/io/block_device.h"
#include "base/result.h"
#include "storaged/log/format.h"

namespace shoal::storaged {

struct Superblock {
  std::uint64_t magic;
  std::uint32_t format_version;
  std::uint32_t crc;                 // of this struct with crc = 0
  std::uint64_t incompat_features;   // an unknown bit: do not open
  std::uint64_t ro_compat_features;  // an unknown bit: open to read only
  std::uint64_t compat_features;     // an unknown bit: no matter
  Uuid cluster_uuid;                 // a drive of another cluster
  Uuid drive_uuid;                   // a drive in the place of another
  std::uint32_t drive_id;
  std::uint32_t reserved;
  std::uint64_t segment_bytes;  // geometry, fixed at format
};
static_assert(sizeof(Superblock) == 88 && offsetof(Superblock, segment_bytes) == 80);

struct DriveIdentity {
  std::string cluster_uuid;  // text form
  std::string drive_uuid;
  DriveId drive;
};

Result<Uuid> parse_uuid(const std::string& text);
std::string format_uuid(const Uuid& uuid);

// Whether the directory holds a superblock.
Task<Result<bool>> is_formatted(BlockDirectory& directory);
// *Durable:* an empty drive. Errors: kAlreadyExists when one is there.
Task<Status> format_drive(BlockDirectory& directory, DriveIdentity identity,
                          std::uint64_t segment_bytes);
// Errors: kNotFound (not formatted), kCorruption (no copy verifies), kNotSupported (newer),
// kInvalidArgument (foreign or swapped, with both uuids).
Task<Result<Superblock>> read_superblock(BlockDirectory& directory, DriveIdentity expected);
// Writes the copies that do not verify again from one that does. *Durable:* all four. Errors:
// kCorruption (no copy verifies), kIoError.
Task<Status> mend_superblock(BlockDirectory& directory);

}  // namespace shoal::storaged
