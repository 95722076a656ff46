#include "storaged/store/read_merger.h"

#include <algorithm>

#include "storaged/limits.h"

namespace shoal::storaged {

Task<Result<Buffer>> ReadMerger::read(const Segment& segment, std::uint64_t begin,
                                      std::uint64_t length) {
  Request own{.begin = begin, .end = begin + length, .bytes = {}, .turn = {}, .run = {}};
  waiting_.emplace(Place{segment.id, begin}, &own);
  if (under_way_ < kMergedReadsAtOnce) {
    ++under_way_;
    pass_on();
  }
  const Turn turn = co_await own.turn.take();
  if (turn == Turn::kArrived) co_return std::move(own.bytes);
  if (turn == Turn::kFailed) co_return co_await segment.device->read(begin, length);
  auto bytes = co_await segment.device->read(begin, own.run_end - begin);
  pass_on();
  for (Request* request : own.run) {
    if (request == &own) continue;
    if (bytes.ok())
      request->bytes = bytes->slice(request->begin - begin, request->end - request->begin);
    request->turn.set(bytes.ok() ? Turn::kArrived : Turn::kFailed);
  }
  if (bytes.ok()) co_return bytes->slice(0, length);
  if (own.run.size() == 1) co_return bytes.status();
  co_return co_await segment.device->read(begin, length);
}

// The next one leads: it reads for itself and for what follows it closely. What comes later waits
// for the next sweep, so that nothing is left behind.
void ReadMerger::pass_on() {
  if (sweep_.empty()) sweep_.swap(waiting_);
  if (sweep_.empty()) {
    --under_way_;
    return;
  }
  const auto first = sweep_.begin();
  Request& leader = *first->second;
  leader.run_end = leader.end;
  auto next = first;
  for (; next != sweep_.end() && next->first.first == first->first.first; ++next) {
    Request& request = *next->second;
    const std::uint64_t end = std::max(leader.run_end, request.end);
    const bool close = request.begin <= leader.run_end + kReadMergeGapBytes;
    if (next != first && (!close || end - leader.begin > kMaxMergedReadBytes)) break;
    leader.run_end = end;
    leader.run.push_back(&request);
  }
  sweep_.erase(first, next);
  leader.turn.set(Turn::kLead);
}

}  // namespace shoal::storaged
