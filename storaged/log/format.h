// The drive's log format: constants and plain records. docs/on-disk-format.md is the document;
// record_codec is the reader and writer. Little-endian throughout.
//
//   segment: [header page][batch][batch]...[unused][footer][trailer page]
//   batch:   [summary: BatchHeader, records, zero padding to a page][payload: whole pages]
//
// A batch counts only if its summary's CRC and every payload page's CRC hold, so one contiguous
// durable write makes it durable without an order between summary and payload.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/buffer.h"
#include "base/ids.h"
#include "base/row_layout.h"
#include "proto/storage_api.h"

namespace shoal::storaged {

inline constexpr std::uint32_t kFormatVersion = 1;
inline constexpr std::uint64_t kSegmentMagic = 0x3130474553534853;  // "SHSSEG01"
inline constexpr std::uint64_t kBatchMagic = 0x3130484354414253;    // "SBATCH01"
inline constexpr std::uint64_t kTrailerMagic = 0x3130524c52545353;  // "SSTRLR01"

using Uuid = std::array<std::uint8_t, 16>;

// First page of a segment. The generation tells this life of the file from earlier ones, whose
// batches may still lie behind the tail.
struct SegmentHeader {
  std::uint64_t magic;
  std::uint32_t format_version;
  std::uint32_t crc;  // of this struct with crc = 0
  Uuid drive_uuid;    // a segment copied from another drive
  std::uint32_t segment_id;
  std::uint32_t reserved;
  std::uint64_t generation;
};
static_assert(sizeof(SegmentHeader) == 48 && offsetof(SegmentHeader, generation) == 40);

enum class BatchKind : std::uint32_t { kData = 1, kFooter = 2 };

struct BatchHeader {
  std::uint64_t magic;
  std::uint32_t format_version;
  std::uint32_t crc;  // of the whole summary with crc = 0: a torn or flipped summary
  Uuid drive_uuid;
  std::uint32_t segment_id;     // a write that went to another place
  std::uint32_t summary_bytes;  // used ones; pages are rounded up
  std::uint64_t generation;     // a batch of an earlier life of the segment
  std::uint64_t lsn;            // position in the drive's log; grows
  std::uint32_t payload_pages;
  std::uint32_t record_count;
  std::uint32_t
      previous_crc;  // crc of the batch before in this segment: a lost batch in the middle
  BatchKind kind;
};
static_assert(sizeof(BatchHeader) == 72 && offsetof(BatchHeader, previous_crc) == 64);

// Last page of a sealed segment: where the footer begins.
struct SegmentTrailer {
  std::uint64_t magic;
  std::uint32_t crc;  // of this struct with crc = 0
  std::uint32_t footer_page;
  std::uint64_t generation;
  std::uint64_t last_lsn;
  std::uint32_t last_batch_crc;
  std::uint32_t reserved;
};
static_assert(sizeof(SegmentTrailer) == 40);

enum class RecordType : std::uint8_t {
  kFragment = 1,
  kDeletePack = 2,
  kDeleteRows = 3,
  kSealPack = 4,
  kEvictPack = 5,
};

// One decoded record of a summary.
struct Record {
  RecordType type = RecordType::kFragment;
  std::uint64_t lsn = 0;           // of its batch; kept in footers
  FragmentKey key;                 // kDeletePack, kSealPack, kEvictPack: the pack only
  RowShape shape;                  // fragments
  std::uint32_t payload_page = 0;  // in the segment
  std::uint32_t payload_bytes = 0;
  std::uint32_t batch_page =
      0;  // where its batch begins, and how long the summary is: kept in footers,
  std::uint32_t summary_pages = 0;       // so that CRCs and directory can be read from there
  std::uint64_t seal_epoch = 0;          // kSealPack
  std::uint64_t evict_below_lsn = 0;     // kEvictPack: kills what is older
  std::vector<std::uint32_t> page_crcs;  // fragments; empty in footers
  std::vector<std::uint32_t> rows;       // kDeleteRows
  std::vector<RowObject> directory;      // parity fragments
};

constexpr std::uint32_t pages_of(std::uint64_t bytes) {
  return static_cast<std::uint32_t>((bytes + kPageSize - 1) / kPageSize);
}

}  // namespace shoal::storaged
