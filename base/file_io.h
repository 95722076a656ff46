// Small files read and written whole: configuration, credentials, superblock-like records.
// Blocking; for start-up and administration, never on a hot path.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/result.h"

namespace shoal {

// Errors: as open(2) and read(2); kTooLarge beyond `max_bytes`.
Result<std::string> read_file(const std::string& path, std::size_t max_bytes = 16 << 20);

// Replaces `path` by a file with this text: temporary file, fsync, rename, fsync of the directory.
// *Durable:* the new text, or on failure the old one, whole. Errors: as open(2), write(2),
// rename(2).
Status write_file_durably(const std::string& path, std::string_view text, mode_t mode);

// fsync of a directory, after names in it changed.
Status sync_directory(const std::string& path);

}  // namespace shoal
