// A row on its way to the drives. RowJob is the row as its pieces see it: it ends when one attempt
// has every fragment durable, or when all attempts failed. RowAttempt is one try under one pack: k'
// + m fragment writes side by side. The first complete attempt wins; the others are orphans in open
// packs. All on one executor; the writer may be gone before the last loser ends, so attempts reach
// it through FlightOwner's cell only.
#pragma once

#include <coroutine>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/async/sync.h"
#include "base/extent.h"
#include "client/pack_pool.h"
#include "client/pack_writer.h"
#include "client/row_builder.h"

namespace shoal::client {

struct RowAttempt;

// What the attempts need of the writer.
class FlightOwner {
 public:
  virtual ~FlightOwner() = default;
  virtual void fragment_ended(RowAttempt& attempt, int column, const Status& status) = 0;
  virtual void release_bytes(std::uint64_t bytes) = 0;
};
// Null once the writer is gone.
struct FlightOwnerCell {
  FlightOwner* owner = nullptr;
};
using FlightOwnerRef = std::shared_ptr<FlightOwnerCell>;

// A piece from write() to its answer. Its bytes count as in flight until the last row that holds it
// has ended.
struct Piece {
  Piece(FlightOwnerRef o, Buffer b, PieceHint h, MonotonicTime d)
      : owner(std::move(o)), bytes(std::move(b)), hint(h), deadline(d) {}
  Piece(const Piece&) = delete;
  Piece& operator=(const Piece&) = delete;
  ~Piece() {
    if (owner->owner != nullptr) owner->owner->release_bytes(cost());
  }
  std::uint64_t cost() const { return bytes.size() + kPieceOverheadBytes; }

  FlightOwnerRef owner;
  Buffer bytes;
  PieceHint hint;
  MonotonicTime deadline;
  std::coroutine_handle<> waiter;
  bool done = false;
  Status status;
  Extent extent;
};
using PiecePtr = std::shared_ptr<Piece>;

// The encoded bytes of a row and whose they are; shared by attempts of one code.
struct RowData {
  EncodedRow row;
  std::vector<PiecePtr> pieces;
};

struct RowJob {
  std::shared_ptr<const RowData> data;
  MonotonicTime deadline;  // of the piece that came first
  bool answered = false;
  bool small = false;     // not all pieces are of a stream
  DriveSet first_drives;  // of a small row: where it began
  int attempts = 0;
  int out_of_reach = 0;  // of them, those that failed because a drive could not be reached
  int live = 0;  // attempts whose fragments are neither all durable nor failed
  std::shared_ptr<RowAttempt> newest;
  DriveSet tried;        // drives that failed or were slow
  DriveSet unreachable;  // of them those that could not be reached, until they answer again
  int failures = 0;
  int full_failures = 0;
  int fenced_failures = 0;
  std::string trouble;  // what the drives said, the first few
  std::coroutine_handle<> waiter;
};

struct RowAttempt {
  FlightOwnerRef owner;
  std::shared_ptr<RowJob> job;
  std::shared_ptr<const RowData> data;
  OpenPackPtr pack;
  std::uint32_t row = 0;
  MonotonicTime started{};
  std::uint32_t pending_columns = 0;  // bit c: its write has not ended
  Status error;                       // the first one
  bool failed = false;
  bool slow = false;
  bool failure_seen = false;  // by the job, which then starts another attempt
  bool slowness_seen = false;
  TimerId slow_timer;
};

// Starts one fragment write; its end is told to the owner.
Task<void> send_fragment(std::shared_ptr<RowAttempt> attempt, StorageApi* storage,
                         WriteFragmentRequest request, MonotonicTime deadline);

}  // namespace shoal::client
