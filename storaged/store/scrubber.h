// Scrubber: when a drive's scrub runs, how fast, and how far it is. It reads nothing itself: the
// drive does (drive_scrub.cc). Belongs to the drive's executor.
#pragma once

#include <cstdint>

#include "base/async/sync.h"
#include "proto/storage_api.h"
#include "storaged/log/scrub_record.h"

namespace shoal::storaged {

class Scrubber {
 public:
  // 0 bytes a second: no pass of its own accord.
  explicit Scrubber(std::uint64_t bytes_per_second) : configured_rate_(bytes_per_second) {}

  // What was read at the start of the drive; `found` is whether there was a record.
  void restore(const ScrubRecord& record, bool found, const Clock& clock);
  const ScrubRecord& record() const { return record_; }

  // A pass begins at once, or the one under way goes on, at this rate (0: the configured one, or
  // else the default).
  void start(std::uint64_t bytes_per_second);
  // Ends the pass under way, if there is one; the next begins when it is due again.
  void stop();
  // The drive closes: every wait ends.
  void close();

  // Waits until a pass is to run. Returns false when the drive closes.
  Task<bool> next_pass();
  // A pass over segments of a generation below `end` begins, or goes on behind the record's cursor.
  void begin_pass(std::uint64_t end, std::uint64_t bytes_total);
  bool goes_on() const { return running_ && !stopping_ && !closing_; }
  // After reading this much: waits until the rate allows more; twice as long while others use the
  // drive.
  Task<void> pace(std::uint64_t bytes, bool drive_is_busy);
  void add_verified(std::uint64_t bytes) { bytes_done_ += bytes; }
  void finish_segment(std::uint64_t generation, std::uint64_t bytes_done);
  // All of it was read, or it was stopped; what a closing drive leaves goes on later.
  void end_pass(bool whole, const Clock& clock);

  ScrubStatus status() const;

 private:
  std::uint64_t rate() const;
  Task<void> wait_until(MonotonicTime when);

  const std::uint64_t configured_rate_;
  std::uint64_t asked_rate_ = 0;  // of start()
  ScrubRecord record_{};
  MonotonicTime resume_at_{};  // an interrupted pass leaves a start alone
  bool asked_ = false;
  bool running_ = false;
  bool stopping_ = false;
  bool closing_ = false;
  std::uint64_t bytes_done_ = 0;
  std::uint64_t bytes_total_ = 0;
  std::uint64_t passes_ = 0;
  MonotonicTime next_read_{};
  Signal wake_;
  TimerId timer_;
};

}  // namespace shoal::storaged
