// ExtentReader: gives back the bytes of an extent, from its own column when that answers in time
// and intact, else decoded from the same byte range of k other columns. Belongs to one executor.
#pragma once

#include <cstdint>
#include <memory>

#include "base/async/task.h"
#include "base/buffer.h"
#include "base/extent.h"
#include "base/result.h"
#include "client/limits.h"

namespace shoal::client {

class MetadataClient;
class StorageRouter;

class ExtentReader {
 public:
  virtual ~ExtentReader() = default;

  // Bytes [offset, offset + length) of what `extent` refers to (offset 0 is extent.file_offset).
  // Verified: against the extent's CRC when the whole stored piece is read, else by the drive's
  // page CRCs. Errors: kCorruption and kUnavailable when the code cannot restore them,
  // kDeadlineExceeded, kOutOfRange.
  virtual Task<Result<Buffer>> read(Extent extent, std::uint32_t offset, std::uint32_t length) = 0;

  struct Counters {
    std::uint64_t reads = 0;
    std::uint64_t degraded_reads = 0;  // decoded because the column failed
    std::uint64_t hedged_reads = 0;    // decoded because the column was slow
    std::uint64_t corrupt_columns = 0;
  };
  virtual Counters counters() const = 0;
};

struct ExtentReaderOptions {
  MetadataClient& metadata;
  StorageRouter& router;
  Executor& executor;
  ExtentReaderLimits limits = {};
};
// The reader belongs to options.executor; no read() may be waiting when it is destroyed. Losers of
// hedged reads may: what they hold is freed when they end. Everything in the options outlives it.
std::unique_ptr<ExtentReader> make_extent_reader(ExtentReaderOptions options);

}  // namespace shoal::client
