// Every bound of the client's data path in one place: queues, buffers, attempts, times and caches.
// What happens when a bound is reached is said beside it. The structs are options with these values
// as defaults, so that tests can shrink them.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"
#include "base/row_layout.h"

namespace shoal::client {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Rows. Pieces of at least kPageStartBytes start on a page, so that reading them touches the fewest
// pages; smaller ones share pages at kSmallAlignment.
inline constexpr std::uint32_t kPageStartBytes = 2048;
inline constexpr std::uint32_t kSmallAlignment = 8;
// A piece of this size is part of a stream: it waits for row mates while a row is in flight.
inline constexpr std::uint32_t kStreamPieceBytes = kMaxColumnBytes;
// What a queued piece costs beside its bytes: its record, its row's share of shapes and CRCs.
inline constexpr std::uint64_t kPieceOverheadBytes = 512;

struct PackWriterLimits {
  // Rows of small pieces in flight; what arrives meanwhile collects. A drive commits one batch at a
  // time, so that a second row to the same drives would only wait there: it goes to other drives,
  // or when something arrives while the last one is older than `overlap_after`. Rows full of large
  // pieces have a bound of their own, because two of them do not fill the pipe.
  int max_rows_in_flight = 2;
  Duration overlap_after = milliseconds(10);
  int max_full_rows_in_flight = 4;
  // Piece bytes queued and in flight; beyond it write() waits.
  std::uint64_t max_bytes_in_flight = 64 << 20;
  // Row buffers kept for reuse; what is beyond is freed.
  std::size_t max_idle_buffer_bytes = 32 << 20;
  // After so long without a new row all of them are freed.
  Duration idle_buffer_grace = seconds(10);
  // Pieces in one row: bounds the row's directory and the time to encode it. The rest waits for the
  // next row.
  std::size_t max_pieces_per_row = 4096;

  // A pack is retired when its data columns hold this much each.
  std::uint64_t pack_bytes_per_column = 64 << 20;
  // Open packs wanted, on different groups; fewer when there are fewer groups. Refilled at half of
  // it.
  std::uint32_t open_packs = 8;
  // Packs that may be open at once, used or not; beyond it, those that cannot be written now are
  // given back.
  std::size_t max_open_packs = 64;
  // A pack with data that takes no rows for so long is given back, so that what is deleted from it
  // can be collected.
  Duration idle_pack_grace = seconds(30);
  // A retired pack whose extents were not all reported as settled is given back after this time.
  Duration retired_pack_grace = std::chrono::hours(2);

  // Attempts for one row before its pieces fail; twice as many with those that failed because a
  // drive could not be reached. Without a whole group, or an answer of the drives, it waits for one
  // until the pieces' deadline. The waits when no untried group is left.
  int max_row_attempts = 6;
  Duration first_backoff = milliseconds(20);
  Duration max_backoff = milliseconds(500);
  // Of one fragment; of a piece from write() to its answer, and from when there is room for its
  // bytes, should that be later.
  Duration fragment_deadline = seconds(10);
  Duration piece_deadline = seconds(30);
  Duration queued_deadline = seconds(10);

  // A fragment is slow after 4 x the drive's p99, within the floor and the ceiling, plus a term for
  // its bytes. A slow row is written again at the price of `slow_rewrite_cost` tokens; each row
  // earns one, at most `slow_rewrite_burst` are kept: when everything is slow the writer waits
  // instead of doubling the load.
  Duration slow_floor = milliseconds(100);
  Duration slow_ceiling = seconds(1);
  std::uint64_t slow_bytes_per_second = 20 << 20;
  int slow_rewrite_cost = 10;
  int slow_rewrite_burst = 100;

  // Its rows give back more space than they take: WriteFragmentRequest::reclaiming.
  bool reclaiming = false;
};

// Bytes that repack moved after their extents were asked for are looked for again so often.
inline constexpr int kMovedAttempts = 3;

// Background calls are held back while others use the drives: a drive is not taken for slow by them
// before this.
inline constexpr Duration kBackgroundPatience = seconds(2);

struct ExtentReaderLimits {
  // Reads wait while others use the drives: ReadFragmentRequest::background.
  bool background = false;
  // Bytes asked for and not yet answered; beyond it read() waits. Decoding has its own bound of the
  // same kind, since it reads k times as much.
  std::uint64_t max_bytes_in_flight = 64 << 20;
  std::uint64_t max_decode_bytes_in_flight = 128 << 20;
  // Of one drive read, and of one read() in all.
  Duration fragment_deadline = seconds(10);
  Duration read_deadline = seconds(30);
  // Of one question for a row's shape; then the next drive is asked.
  Duration shape_deadline = seconds(1);
  // A read is hedged after the drive's p95, within the floor and the ceiling, plus a term for its
  // bytes, looked at every `hedge_tick`; tokens as for slow rows.
  Duration hedge_floor = milliseconds(10);
  Duration hedge_ceiling = milliseconds(500);
  Duration hedge_tick = milliseconds(2);
  std::uint64_t hedge_bytes_per_second = 50 << 20;
  int hedge_cost = 10;
  int hedge_burst = 100;
  // Row shapes kept for degraded reads; the least recently used one goes.
  std::size_t shape_cache_entries = 4096;
};

struct DriveHealthLimits {
  // After the n-th failure in a row a drive is avoided for first_penalty * 2^(n-1), at most
  // max_penalty.
  Duration first_penalty = seconds(1);
  Duration max_penalty = seconds(30);
  // A drive that said it was full is avoided for writing for so long.
  Duration full_penalty = seconds(10);
};

}  // namespace shoal::client
