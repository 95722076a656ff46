// CRC-64/NVME, which S3 clients send with uploads by default since 2025. Source: NVM Express NVM
// Command Set Specification 1.0, section 5.2.1.3.4 (64b CRC); check value of "123456789":
// ae8b14860a799888.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace shoal {

// The finished CRC of `bytes`; with `previous`, of what gave `previous` followed by `bytes`.
std::uint64_t crc64nvme(std::span<const std::byte> bytes, std::uint64_t previous = 0);

}  // namespace shoal
