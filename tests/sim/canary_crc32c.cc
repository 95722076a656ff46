// A canary: checksums that are always right. Linked in the place of base/crc32c.cc, so that nothing
// in the program notices a byte that has changed.
#include "base/crc32c.h"

namespace shoal {

std::uint32_t crc32c(std::span<const std::byte>, std::uint32_t) { return 0; }

std::uint32_t crc32c(const BufferList&) { return 0; }

std::uint32_t crc32c_combine(std::uint32_t, std::uint32_t, std::uint64_t) { return 0; }

std::vector<std::uint32_t> page_crc32cs(std::span<const std::byte> bytes) {
  return std::vector<std::uint32_t>((bytes.size() + 4095) / 4096, 0);
}

}  // namespace shoal
