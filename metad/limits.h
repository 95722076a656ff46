// Named bounds of the metadata daemon.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace shoal::metad {

// One journal file, and one group commit in it.
inline constexpr std::uint64_t kJournalSegmentBytes = 32ULL << 20;
inline constexpr std::size_t kMaxJournalBatchBytes = 4 << 20;
// Commands waiting for the journal; beyond it clients wait.
inline constexpr std::uint64_t kMaxCommandsInFlight = 16 * 1024;
// A serialized command larger than this is refused.
inline constexpr std::size_t kMaxCommandBytes = 3 << 20;
// Journal written since the last checkpoint that starts the next one.
inline constexpr std::uint64_t kCheckpointAfterBytes = 64ULL << 20;
// Changed records that a checkpoint collects in one go, a few milliseconds; and after what part of
// that journal again one that failed is tried again.
inline constexpr std::size_t kCheckpointSliceRecords = 2048;
inline constexpr std::uint64_t kCheckpointRetryFraction = 4;
// Threads that read the checkpoint at the start.
inline constexpr unsigned kMaxLoadThreads = 8;
// A session that is silent for so long is closed.
inline constexpr std::chrono::seconds kSessionLease{30};
// An unlinked file stays at least so long, and is then dropped with others.
inline constexpr std::chrono::seconds kReapInterval{1};
inline constexpr std::size_t kReapAtOnce = 10'000;
// How often a change of the cluster map is planned anew because leases overtook it.
inline constexpr int kPlanAttempts = 5;
// How often the drives are asked how they are, and for how long an answer is waited for.
inline constexpr std::chrono::seconds kMonitorInterval{1};
inline constexpr std::chrono::seconds kMonitorDeadline{3};
// A drive that has not been well for so long counts as down, and one that was down for so long as
// lost.
inline constexpr std::chrono::seconds kDownAfter{10};
inline constexpr std::chrono::seconds kOutAfter{15 * 60};
// One page of ListReferences: extents in it, inodes and extents looked at for it, packs asked for.
inline constexpr std::size_t kMaxReferencesPerPage = 8192;
inline constexpr std::uint64_t kMaxScannedPerPage = 32 * 1024;
inline constexpr std::size_t kMaxPacksPerReferenceQuery = 1024;
// How often the collector looks, and how many packs it drops in one round.
inline constexpr std::chrono::seconds kCollectInterval{5};
inline constexpr std::uint32_t kCollectPacksPerRound = 256;
inline constexpr std::chrono::seconds kCollectorDeadline{10};
// Dead rows of a pack are dropped once they are this part of all its rows: each time costs a record
// on every drive.
inline constexpr std::size_t kDropRowsFraction = 8;

}  // namespace shoal::metad
