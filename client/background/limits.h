// Bounds of background work.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace shoal::client {

// How often a worker tells metad how it is doing.
inline constexpr Duration kReportInterval = std::chrono::seconds(2);

// Reads under way at once for one row, and the largest gap of dead bytes that is read over rather
// than around.
inline constexpr std::size_t kRepackReadsAtOnce = 16;
inline constexpr std::uint32_t kRepackReadGapBytes = 32 << 10;
// Extents exchanged by one command: each costs the metadata's loop a few microseconds.
inline constexpr std::size_t kExtentsPerSwap = 512;
// The scan of the index rests so many times as long as a page of it took.
inline constexpr int kScanRestFactor = 2;
// Unreadable extents after which a pass ends: then it is not one bad page.
inline constexpr std::size_t kMaxUnreadablePerPass = 64;
// A pack that could not be emptied is left alone for so long.
inline constexpr Duration kUnreadableRest = std::chrono::minutes(10);
// What a fragment costs on its drive beside its bytes: its share of a batch's summary. A page of
// its own when it comes alone.
inline constexpr std::uint64_t kFragmentOverheadBytes = 4096;

// What an audit of one fragment costs its drive, as the throttle counts it.
inline constexpr std::uint64_t kAuditedFragmentBytes = 256;

// Packs of one move that are listed and restored side by side.
inline constexpr std::size_t kPacksOfMoveAtOnce = 2;
// Packs of all moves that are listed at once: few, so that the first ones are soon restored.
inline constexpr std::size_t kPacksListedAtOnce = 4;

// With these values as defaults, so that tests can shrink them.
struct RebuildLimits {
  // Of fragments restored or copied.
  std::uint64_t bytes_per_second = 128 << 20;
  // Bytes of columns that are read and written side by side. What a fragment costs of it at least
  // bounds their number: each waits for a flush of its drive, so there must be many of small ones.
  std::uint64_t bytes_in_flight = 64 << 20;
  std::uint64_t min_fragment_cost = 64 << 10;
  // Fragments of one pack that wait for their turn or are under way; more than the bytes above
  // allow, so that the order among packs stays.
  std::size_t queued_per_batch = 1024;
  // Columns moved side by side.
  std::size_t moves_at_once = 16;
  // How often the cluster map and the drives are looked at.
  Duration interval = std::chrono::seconds(2);
  // What waits for writers to give their packs back is looked at again after this, then after twice
  // of it and so on.
  Duration first_closing_wait = std::chrono::milliseconds(200);
  // All packs are compared with the drives so often, also when nothing has happened.
  Duration audit_interval = std::chrono::hours(6);
  // What an audit left undone is tried again so often; it reads the lists of all drives.
  Duration retry_interval = std::chrono::seconds(30);
  // Audits in which one move may still find something to do.
  int rounds = 4;
};

struct RepackLimits {
  // Data moved. Times `hurry` while a drive has less than `hurry_permille` of its capacity free.
  std::uint64_t bytes_per_second = 32 << 20;
  std::uint64_t hurry = 4;
  std::uint64_t hurry_permille = 150;
  // How often the packs are looked at; sooner while there is more to do.
  Duration interval = std::chrono::seconds(10);
  // A pack is worth the work when its raw bytes are more than this of what its live bytes take in
  // full rows.
  std::uint64_t threshold_permille = 1250;
  // A pass must win this much of the raw bytes that it empties, or it is not begun.
  std::uint64_t min_gain_permille = 150;
  // And so many bytes: a pass reads the whole index. The larger of the two; none when in a hurry.
  std::uint64_t min_gain_bytes = 1 << 20;
  std::uint64_t min_gain_of_pool_permille = 5;
  // Of one pass: live bytes, packs, references kept in memory.
  std::uint64_t max_pass_bytes = 1 << 30;
  std::size_t max_pass_packs = 1024;
  std::size_t max_pass_references = 500'000;
  // Pieces in one row: as many as the reader of a row's directory takes.
  std::size_t max_pieces_per_row = 4096;
};

}  // namespace shoal::client
