// MD5 of many messages at once: one message a lane of a vector register. MD5 of one message is a
// chain that no processor can hurry, about 0.6 GB/s; sixteen chains side by side take little longer
// than one. Source: RFC 1321.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace shoal {

inline constexpr std::size_t kMd5Lanes = 16;
inline constexpr std::size_t kMd5BlockBytes = 64;

struct Md5State {
  std::array<std::uint32_t, 4> words{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
};

struct Md5Lane {
  Md5State* state;
  const std::byte* data;  // at least the blocks of the call
};

// Takes `blocks` blocks of each lane into its state. At most kMd5Lanes lanes, all different.
void md5_blocks(std::span<const Md5Lane> lanes, std::size_t blocks);

// The last blocks of a message of `total_bytes`, whose end, after its last whole block, is `tail`:
// the tail, the padding and the length. Returns how many of the two blocks are used.
std::size_t md5_padding(std::span<const std::byte> tail, std::uint64_t total_bytes,
                        std::array<std::byte, 2 * kMd5BlockBytes>* out);

// The digest of a finished state.
std::array<std::byte, 16> md5_digest(const Md5State& state);

}  // namespace shoal
