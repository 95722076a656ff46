// StorageApi: what a storage daemon does for its clients, as an interface of base types. storaged
// implements it; the gRPC client and the in-process seam stand in for it; tests put fakes and
// faults in between. Calls are coroutines and may run side by side. Every call takes a deadline;
// past it the answer is kDeadlineExceeded and the outcome unknown.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/async/task.h"
#include "base/buffer.h"
#include "base/clock.h"
#include "base/cluster_map.h"
#include "base/ids.h"
#include "base/row_layout.h"

namespace shoal {

// One object's place in a row: part of the row's directory that parity fragments carry, so that
// metadata can be audited and rebuilt from the drives.
struct RowObject {
  InodeId inode;  // 0 when it was not known yet (an S3 PUT): the commit record knows
  std::uint64_t file_offset = 0;
  std::uint8_t column = 0;
  std::uint32_t column_offset = 0;
  std::uint32_t length = 0;
  std::uint32_t crc32c = 0;
};

struct WriteFragmentRequest {
  DriveId drive;
  FragmentKey key;
  RowShape shape;
  // shape.height(key.column) bytes. Pieces whose addresses are whole pages are written without a
  // copy.
  BufferList payload;
  // CRC32C of each 4 KiB page of the payload, the last one short: what the drive stores and
  // verifies.
  std::vector<std::uint32_t> page_crcs;
  // Only on parity fragments.
  std::vector<RowObject> directory;
  // Restored from the row's other columns: taken although the pack is sealed, and in the place of a
  // fragment of the same key that does not verify or is another one.
  bool repair = false;
  // Written so that more space is given back than it takes: may use what a full drive keeps for
  // that.
  bool reclaiming = false;
};

struct ReadFragmentRequest {
  DriveId drive;
  FragmentKey key;
  std::uint32_t offset = 0;  // bytes from the start of the column
  std::uint32_t length = 0;  // bytes; offset + length <= the column's height
  // The drive checks the CRC of every page it touches. A caller that checks the bytes end to end
  // may pass false.
  bool verify = true;
  // Repair, repack and the like: waits while others use the daemon.
  bool background = false;
};

// What list_fragments() says of each.
enum class FragmentDetail : std::uint8_t {
  kIndexed,  // that the drive's index has it, and its bytes: nothing is read
  kShape,    // also its row's shape, from the footer of its segment if that is less to read
  kRecord,   // also its row's shape, from its own record, which is read and verified
};

struct FragmentInfo {
  FragmentKey key;
  std::optional<RowShape> shape;   // not with kIndexed
  std::uint32_t stored_bytes = 0;  // of this column
  // Not with kIndexed: how far in the drive's log it lies, of 2^32. A hint: what was written
  // together lies about as far on every drive that was there from the start.
  std::uint32_t log_place = 0;
};

// A fragment that the drive should hold and cannot serve.
struct DamagedFragment {
  FragmentKey key;
  std::string what;  // what was wrong when it was read last, for people
};

struct PackInfo {
  PackId pack;
  std::uint64_t stored_bytes = 0;  // on this drive
  std::uint32_t fragment_count = 0;
  std::uint64_t sealed_epoch = 0;  // writes with a lease epoch <= this are refused; 0: open
};

enum class ScrubAction : std::uint8_t { kStart = 1, kStop = 2 };
enum class ScrubState : std::uint8_t {
  kOff = 0,      // no pass of its own accord
  kWaiting = 1,  // until the next pass is due
  kRunning = 2,
};

// The background verification of all that a drive holds.
struct ScrubStatus {
  ScrubState state = ScrubState::kOff;
  std::uint64_t bytes_done = 0;  // of the pass under way, or of the last one
  std::uint64_t bytes_total = 0;
  std::uint64_t bytes_per_second = 0;  // at most; half of it while others use the drive
  std::uint64_t passes = 0;            // that ended since start
  WallTimeNs last_finished_ns = 0;     // 0: never
};

struct DriveStatus {
  DriveId drive;
  std::string uuid;
  std::string path;
  std::string state;  // "up", "full", "failed: ...", "hangs: ..."
  std::uint64_t capacity_bytes = 0;
  std::uint64_t used_bytes = 0;  // live fragments
  std::uint64_t free_bytes = 0;  // that new packs may use
  std::uint64_t pack_count = 0;
  std::uint64_t fragment_count = 0;
  std::uint64_t index_bytes = 0;  // of memory
  std::uint64_t flush_count = 0;  // durable device writes and flushes since start
  std::uint64_t write_count = 0;  // fragments written since start
  std::uint64_t read_count = 0;
  // When it was opened, 0: it is not open. Another time means that it was opened again, and may
  // lack what it had, without knowing.
  WallTimeNs opened_ns = 0;
  std::uint64_t damaged_fragments = 0;  // that damaged_fragments() lists
  std::uint64_t damaged_unlisted = 0;   // found since start, but the list was full
  // Log segments in which something cannot be read or does not verify: fragments that were there may
  // be missing from the index.
  std::uint64_t damaged_segments = 0;
  ScrubStatus scrub;
  // Neither failed nor hanging.
  bool well() const { return !state.starts_with("failed") && !state.starts_with("hangs"); }
  std::uint64_t payload_bytes_written = 0;  // of fragments that clients sent, since start
  std::uint64_t device_bytes_written = 0;   // all of the log, since start
  std::uint64_t cleaned_bytes = 0;          // of fragments copied by the cleaner, since start
  std::uint64_t segment_bytes = 0;          // of one segment
  std::uint64_t segment_count = 0;          // that were made
  std::uint64_t free_segment_count = 0;     // of these; all others hold or may take fragments
};

class StorageApi {
 public:
  virtual ~StorageApi() = default;

  // Stores one fragment. *Durable:* the whole fragment, once OK. Writing the same key again with
  // the same shape and CRCs is OK (a retry); with others kAlreadyExists. Errors: kNoSpace, kFenced
  // (the pack is sealed against this lease epoch), kIoError (the drive has failed), kNotFound (no
  // such drive here), kInvalidArgument, kCorruption (the payload does not match page_crcs). With
  // `repair`, a fragment with these CRCs that verifies on the medium is OK as it is; any other one
  // of this key is replaced. Deleted packs and rows are kFenced also then.
  virtual Task<Status> write_fragment(WriteFragmentRequest request, MonotonicTime deadline) = 0;

  // Reads a byte range of one fragment. Errors: kNotFound, kOutOfRange, kCorruption (a page's CRC
  // does not match), kIoError.
  virtual Task<Result<Buffer>> read_fragment(ReadFragmentRequest request,
                                             MonotonicTime deadline) = 0;

  // The shape of a row, from any of its fragments on this drive. Errors: kNotFound.
  virtual Task<Result<RowShape>> row_shape(DriveId drive, PackId pack, std::uint32_t row,
                                           MonotonicTime deadline) = 0;

  // The row's directory that a parity fragment carries; empty for a data column. Errors: kNotFound,
  // kCorruption (its record does not verify), kIoError.
  virtual Task<Result<std::vector<RowObject>>> row_directory(DriveId drive, FragmentKey key,
                                                             MonotonicTime deadline) = 0;

  // Refuses, from now on, writes to `pack` under a lease epoch <= `epoch`. Idempotent. *Durable:*
  // the refusal.
  virtual Task<Status> seal_pack(DriveId drive, PackId pack, std::uint64_t epoch,
                                 MonotonicTime deadline) = 0;

  // Drops every fragment of a pack, or of some of its rows. Idempotent. *Durable:* they do not come
  // back.
  virtual Task<Status> delete_pack(DriveId drive, PackId pack, MonotonicTime deadline) = 0;
  // Drops what this drive holds of a pack whose columns are on other drives now. Idempotent. It may
  // hold fragments of the pack again later. *Durable:* these do not come back.
  virtual Task<Status> evict_pack(DriveId drive, PackId pack, MonotonicTime deadline) = 0;
  virtual Task<Status> delete_rows(DriveId drive, PackId pack, std::vector<std::uint32_t> rows,
                                   MonotonicTime deadline) = 0;

  // Packs with an id above `after`, ascending, at most `limit`.
  virtual Task<Result<std::vector<PackInfo>>> list_packs(DriveId drive, PackId after,
                                                         std::uint32_t limit,
                                                         MonotonicTime deadline) = 0;
  // Fragments of a pack with row >= `first_row`, ascending, at most `limit`. With kRecord, one
  // whose record does not verify is left out; damaged_fragments() has it.
  virtual Task<Result<std::vector<FragmentInfo>>> list_fragments(DriveId drive, PackId pack,
                                                                 std::uint32_t first_row,
                                                                 std::uint32_t limit,
                                                                 FragmentDetail detail,
                                                                 MonotonicTime deadline) = 0;

  // Fragments that this drive knows it cannot serve, with a key above `after`, ascending, at most
  // `limit`: found by scrub, by a read or at the start. A repair write or a deletion ends the
  // entry. What the drive does not know that it lacks is not here: compare list_fragments() with
  // the metadata.
  virtual Task<Result<std::vector<DamagedFragment>>> damaged_fragments(DriveId drive,
                                                                       FragmentKey after,
                                                                       std::uint32_t limit,
                                                                       MonotonicTime deadline) = 0;

  // Begins a pass of the scrub over all that the drive holds, at `bytes_per_second` (0: as
  // configured); one that is under way goes on at that rate. Or ends the one under way. Errors:
  // kNotFound, kIoError.
  virtual Task<Status> scrub(DriveId drive, ScrubAction action, std::uint64_t bytes_per_second,
                             MonotonicTime deadline) = 0;

  // Every drive of this daemon.
  virtual Task<Result<std::vector<DriveStatus>>> status(MonotonicTime deadline) = 0;
};

}  // namespace shoal
