// Named bounds of the mount.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shoal::fuse {

// Largest read or write request: what libfuse 3.14 gives its buffers (256 pages).
inline constexpr std::size_t kMaxWriteBytes = 1 << 20;
// Requests taken from the kernel before the loop does other work.
inline constexpr int kRequestsPerTurn = 32;
// Background requests (read-ahead, asynchronous direct I/O) that the kernel keeps in flight.
inline constexpr unsigned kMaxBackground = 64;
// A write of at least this many bytes keeps its receive buffer instead of being copied out of it.
inline constexpr std::size_t kKeepBufferBytes = 64 * 1024;
// Directory entries fetched at once.
inline constexpr std::uint32_t kDirectoryPage = 1024;

}  // namespace shoal::fuse
