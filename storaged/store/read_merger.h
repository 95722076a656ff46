// ReadMerger: background reads of one drive. A few are under way at once; those that wait meanwhile
// are taken in the order of the log, and what lies close together is read in one piece. A rebuild,
// which has many reads waiting everywhere in a stretch of the log, so reads about as one that goes
// through it does. Belongs to one executor.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "base/async/sync.h"
#include "base/buffer.h"
#include "base/result.h"
#include "storaged/store/segment.h"

namespace shoal::storaged {

class ReadMerger {
 public:
  // `length` bytes at `begin` of the segment's file, both whole pages. The caller keeps the segment
  // from being recycled. Errors: those of BlockDevice::read.
  Task<Result<Buffer>> read(const Segment& segment, std::uint64_t begin, std::uint64_t length);

 private:
  using Place = std::pair<std::uint32_t, std::uint64_t>;  // segment, first byte
  enum class Turn : std::uint8_t {
    kLead,     // it is to read, for others that lie close as well
    kArrived,  // its bytes are there
    kFailed,   // a read for several failed: it reads alone
  };
  struct Request {
    std::uint64_t begin;
    std::uint64_t end;
    Buffer bytes;
    Completion<Turn> turn;
    // Of one that leads: what it reads for, itself first, and where the last one ends.
    std::vector<Request*> run;
    std::uint64_t run_end = 0;
  };
  using Waiting = std::multimap<Place, Request*>;

  void pass_on();

  Waiting sweep_;    // what is being read, in the order of the log
  Waiting waiting_;  // the next sweep
  std::size_t under_way_ = 0;
};

}  // namespace shoal::storaged
