// Named bounds of a storage daemon.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace shoal::storaged {

inline constexpr std::uint64_t kDefaultSegmentBytes = 64ULL << 20;
// Payload of one group commit; what is beyond it waits for the next.
inline constexpr std::uint32_t kMaxBatchPayloadPages = 1024;
// Summary of one group commit.
inline constexpr std::size_t kMaxSummaryBytes = 512 * 1024;
// Zeros are written into a new segment so many bytes at a time: a large write keeps the device, and
// with its many pages the device's queue, from those who wait for a commit. All are written while
// nobody has used the drive for so long, or else at such a pace that the segment is whole when the
// one in use has filled so far.
inline constexpr std::uint32_t kPrewritePieceBytes = 64 << 10;
inline constexpr std::uint32_t kPrewriteLeadPercent = 80;
inline constexpr std::chrono::milliseconds kPrewriteQuiet{200};
// A fragment from this size on goes to the log head whose segments need not be prewritten.
inline constexpr std::uint32_t kLargeFragmentBytes = 128 * 1024;
// Payload bytes queued on a drive; beyond it write_fragment waits.
inline constexpr std::uint64_t kMaxQueuedBytes = 64ULL << 20;
// Free segments that only the cleaner and deletions may use: the larger of the two.
inline constexpr std::uint32_t kReservedSegments = 3;
inline constexpr std::uint32_t kReservedPerMille = 20;
// Of these, what the cleaner leaves to deletions and seals, and what these leave to recycling: a
// full drive has a place for their records, and once that is full of them, a place for those that
// are still needed, so that it can always be emptied. Where nothing else gives space back the
// cleaner takes the last one too, for what empties another.
inline constexpr std::uint32_t kControlSegments = 2;
inline constexpr std::uint32_t kRecycleSegments = 1;
// Rows in one record of deletions that the log says again.
inline constexpr std::size_t kMaxDeletedRows = 4096;
// More free segments that only writes which give space back (repack) may use: the larger of the
// two.
inline constexpr std::uint32_t kReclaimSegments = 2;
inline constexpr std::uint32_t kReclaimPerMille = 10;
// The cleaner starts below this share of free segments and takes segments that are at most this
// full.
inline constexpr std::uint32_t kCleanBelowPerMille = 100;
inline constexpr std::uint32_t kCleanLivePerMille = 800;
// What it copies at once, and how many fragments of such a batch share a page of its summary.
inline constexpr std::uint64_t kCleanBytesAtOnce = 2 << 20;
inline constexpr std::size_t kCleanFragmentsAtOnce = 64;
inline constexpr std::uint32_t kFragmentsPerSummaryPage = 16;
// How often directories that were taken away, or came back, are looked for.
inline constexpr std::chrono::seconds kDriveWatchInterval{2};
// Fragments whose page CRCs are kept after a verified read.
inline constexpr std::size_t kCrcCacheFragments = 16 * 1024;
// A verified read whose CRCs are not in memory brings the batch's summary along when at most so
// many pages lie between.
inline constexpr std::uint32_t kReadOverPages = 8;
// Background reads of one drive: how many are under way at once; those that wait are read in one
// piece when no more than the gap lies between them, up to so many bytes.
inline constexpr std::size_t kMergedReadsAtOnce = 4;
inline constexpr std::uint64_t kReadMergeGapBytes = 32 << 10;
inline constexpr std::uint64_t kMaxMergedReadBytes = 512 << 10;
// Fragments that a drive lists as damaged; what is beyond it is counted.
inline constexpr std::size_t kMaxDamagedFragments = 16 * 1024;
// What is read at once where a segment is searched for batches, in pages.
inline constexpr std::uint32_t kSearchPages = 256;
// Pages of a segment that may turn out unreadable one after another before the search ends.
inline constexpr std::uint32_t kMaxUnreadablePages = 64;
// The scrub's rate unless told otherwise, its pause between passes, and how long it leaves a start
// alone.
inline constexpr std::uint64_t kDefaultScrubBytesPerSecond = 32ULL << 20;
inline constexpr std::chrono::hours kScrubInterval{7 * 24};
inline constexpr std::chrono::minutes kScrubStartDelay{1};
// What it reads at once, in pages, and after how many bytes it writes down how far it is.
inline constexpr std::uint32_t kScrubReadPages = 64;
inline constexpr std::uint64_t kScrubSaveBytes = 1ULL << 30;
// Calls of a drive that may hang behind their deadlines; then the next are refused at once.
inline constexpr std::size_t kMaxHungCalls = 64;
// Background calls while others use the daemon: this share of what others do and so much in any
// case, counted in calls or, of large ones, in units of bytes; saved up are so many at most. Others
// use it when they called so recently.
inline constexpr double kBackgroundShare = 1.0 / 8;
inline constexpr double kBackgroundUnitsPerSecond = 500;
inline constexpr double kBackgroundUnitBytes = 64 << 10;
inline constexpr double kBackgroundBurst = 16;
// What one listed fragment counts.
inline constexpr std::uint64_t kListedBytes = 256;
// What one more read of a summary costs, as pages of a footer that are read in one piece.
inline constexpr std::uint64_t kSummaryReadPages = 4;
// Summaries or footers that one listing reads side by side.
inline constexpr std::uint64_t kListReadsAtOnce = 8;
inline constexpr std::chrono::milliseconds kForegroundQuiet{100};
inline constexpr std::chrono::milliseconds kBackgroundLook{2};
// Segments opened side by side at the start.
inline constexpr std::size_t kRecoverAtOnce = 16;
// A directory entry list on a parity fragment.
inline constexpr std::size_t kMaxDirectoryEntries = 8192;

}  // namespace shoal::storaged
