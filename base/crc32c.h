// CRC32C (Castagnoli), in hardware through ISA-L. Source: RFC 3720, appendix B.4 (test vectors).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/buffer.h"

namespace shoal {

// The finished CRC of `bytes`; with `previous`, of what gave `previous` followed by `bytes`.
// crc32c({}) is 0.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t previous = 0);
std::uint32_t crc32c(const BufferList& list);
// The CRC of A followed by B, from both CRCs and B's length.
std::uint32_t crc32c_combine(std::uint32_t crc_a, std::uint32_t crc_b, std::uint64_t length_b);
// One CRC for each kPageSize page of `bytes`, the last one over what is left.
std::vector<std::uint32_t> page_crc32cs(std::span<const std::byte> bytes);

}  // namespace shoal
