// PackWriter: makes bytes durable. Pieces that arrive while rows are in flight collect and become
// the next row (self-clocked batching, no timer); a row is encoded, its fragments go to the drives
// of a placement group side by side, and every piece is answered with its Extent once all fragments
// are durable. A row that meets a failed or slow drive is written again whole to another group.
// Belongs to one executor.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/async/task.h"
#include "base/buffer.h"
#include "base/extent.h"
#include "base/ids.h"
#include "base/random.h"
#include "base/result.h"
#include "client/limits.h"

namespace shoal::client {

class MetadataClient;
class StorageRouter;

// For the row directory on parity fragments.
struct PieceHint {
  InodeId inode;  // 0: not known yet
  std::uint64_t file_offset = 0;
};

class PackWriter {
 public:
  virtual ~PackWriter() = default;

  // Stores up to kMaxColumnBytes as one extent (whole inside one column). The bytes must not change
  // until it returns. Waits while too many bytes are in flight. *Durable:* the bytes, once OK; they
  // are an orphan until a commit names the extent. Errors: kNoSpace, kUnavailable (no group can
  // take the row), kDeadlineExceeded, kFenced.
  virtual Task<Result<Extent>> write(Buffer piece, PieceHint hint) = 0;

  // Tells that extents which write() gave are committed, or will never be. A full pack is given
  // back to metad, and can then be collected, only when all its extents are settled (or after a
  // grace time of hours): a commit that names a pack given back is refused. Extents that write()
  // did not give are ignored.
  virtual void settled(std::span<const Extent> extents) { (void)extents; }

  // Rows in flight and what waits have ended; open packs are given back. Nothing may be written
  // afterwards.
  virtual Task<Status> close() = 0;

  struct Counters {
    std::uint64_t rows = 0;
    std::uint64_t pieces = 0;
    std::uint64_t piece_bytes = 0;
    std::uint64_t fragment_bytes = 0;
    std::uint64_t rows_rewritten = 0;  // sent again to another group
  };
  virtual Counters counters() const = 0;
};

struct PackWriterOptions {
  MetadataClient& metadata;
  StorageRouter& router;
  Executor& executor;
  Random& random;
  PackWriterLimits limits = {};
};
// The writer belongs to options.executor, and close() must have returned before it is destroyed
// unless nothing was ever written. Everything in the options outlives it. It may be destroyed while
// the losers of rewritten rows are still under way; what they hold is freed when they end.
std::unique_ptr<PackWriter> make_pack_writer(PackWriterOptions options);

}  // namespace shoal::client
