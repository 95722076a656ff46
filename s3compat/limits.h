// Named bounds of the S3 server; what is answered beyond each is said beside it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace shoal::s3compat {

// Request line and headers together: 431.
inline constexpr std::size_t kMaxHeadBytes = 32 * 1024;
// Connections of one loop: the next is closed at once.
inline constexpr std::size_t kMaxConnections = 20'000;
// The client keeps the server waiting for so long at most, or the connection is closed: for a new
// connection's or an idle one's next request to begin; for a begun head to be whole.
inline constexpr std::chrono::seconds kIdleTimeout{75};
inline constexpr std::chrono::seconds kHeadTimeout{15};
// A body has this time and its length at this rate; a response's the same.
inline constexpr std::chrono::seconds kBodyGrace{30};
inline constexpr std::uint64_t kMinBytesPerSecond = 64 * 1024;
// Request body bytes held by all connections of one loop: readers wait.
inline constexpr std::uint64_t kMaxBodyBytes = 128ULL << 20;
// An unread rest of a request body up to this is skipped; beyond it the connection is closed.
inline constexpr std::uint64_t kMaxSkippedBytes = 256 * 1024;
// XML request bodies: 400 MalformedXML.
inline constexpr std::uint64_t kMaxXmlBytes = 2 << 20;
// Objects: AWS's own limits.
inline constexpr std::uint64_t kMaxPutBytes = 5ULL << 30;
inline constexpr std::size_t kMaxKeyBytes = 1024;
inline constexpr std::size_t kMaxUserMetadataBytes = 2048;
inline constexpr std::uint32_t kMaxListKeys = 1000;
inline constexpr std::size_t kMaxDeleteKeys = 1000;
// One chunk's header line in an aws-chunked body: 400.
inline constexpr std::size_t kMaxChunkLine = 1024;
inline constexpr std::size_t kMaxTrailerBytes = 8 * 1024;

}  // namespace shoal::s3compat
