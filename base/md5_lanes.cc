#include "base/md5_lanes.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace shoal {
namespace {

// One 32-bit word of each lane.
typedef std::uint32_t Vector __attribute__((vector_size(kMd5Lanes * 4)));

// Abbreviations and order of RFC 1321, section 3.4.
constexpr std::uint32_t kSines[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391};
constexpr int kShifts[16] = {7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21};

// One block: `x` are its sixteen words, of one message or of one in each lane.
template <typename Word>
inline __attribute__((always_inline)) void md5_block(Word* state, const Word* x) {
  Word a = state[0], b = state[1], c = state[2], d = state[3];
#pragma GCC unroll 64
  for (int step = 0; step < 64; ++step) {
    Word f;
    int k;
    if (step < 16) {
      f = d ^ (b & (c ^ d));
      k = step;
    } else if (step < 32) {
      f = c ^ (d & (b ^ c));
      k = (5 * step + 1) % 16;
    } else if (step < 48) {
      f = b ^ c ^ d;
      k = (3 * step + 5) % 16;
    } else {
      f = c ^ (b | ~d);
      k = 7 * step % 16;
    }
    const Word sum = a + f + x[k] + kSines[step];
    const int shift = kShifts[step / 16 * 4 + step % 4];
    a = d;
    d = c;
    c = b;
    b = b + ((sum << shift) | (sum >> (32 - shift)));
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
}

void one_message(const Md5Lane& lane, std::size_t blocks) {
  for (std::size_t block = 0; block < blocks; ++block) {
    std::uint32_t x[16];
    std::memcpy(x, lane.data + block * kMd5BlockBytes, sizeof x);
    md5_block(lane.state->words.data(), x);
  }
}

// The compiler makes one of these for each kind of processor; the right one is chosen at start.
#ifndef SHOAL_THREAD_SANITIZER  // the choice is made before the sanitizer runs
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
void many_messages(std::span<const Md5Lane> lanes, std::size_t blocks) {
  // Idle lanes work on the first lane's bytes, for nothing.
  const std::byte* data[kMd5Lanes];
  alignas(sizeof(Vector)) std::uint32_t words[16][kMd5Lanes];
  for (std::size_t lane = 0; lane < kMd5Lanes; ++lane) {
    const Md5Lane& from = lanes[lane < lanes.size() ? lane : 0];
    data[lane] = from.data;
    for (std::size_t i = 0; i < 4; ++i) words[i][lane] = from.state->words[i];
  }
  Vector state[4];
  std::memcpy(state, words, sizeof state);
  for (std::size_t block = 0; block < blocks; ++block) {
    for (std::size_t lane = 0; lane < kMd5Lanes; ++lane) {
      std::uint32_t message[16];
      std::memcpy(message, data[lane] + block * kMd5BlockBytes, sizeof message);
      for (std::size_t i = 0; i < 16; ++i) words[i][lane] = message[i];
    }
    Vector x[16];
    std::memcpy(x, words, sizeof x);
    md5_block(state, x);
  }
  for (std::size_t lane = 0; lane < lanes.size(); ++lane)
    for (std::size_t i = 0; i < 4; ++i) lanes[lane].state->words[i] = state[i][lane];
}

}  // namespace

void md5_blocks(std::span<const Md5Lane> lanes, std::size_t blocks) {
  constexpr std::size_t kScalarLanes = 2;  // up to here one after the other is faster
  CHECK(lanes.size() <= kMd5Lanes);
  if (lanes.size() > kScalarLanes) return many_messages(lanes, blocks);
  for (const Md5Lane& lane : lanes) one_message(lane, blocks);
}

std::size_t md5_padding(std::span<const std::byte> tail, std::uint64_t total_bytes,
                        std::array<std::byte, 2 * kMd5BlockBytes>* out) {
  CHECK(tail.size() < kMd5BlockBytes);
  constexpr std::size_t kLengthBytes = 8;
  const std::size_t blocks = tail.size() + 1 + kLengthBytes <= kMd5BlockBytes ? 1 : 2;
  out->fill(std::byte{0});
  std::copy(tail.begin(), tail.end(), out->begin());
  (*out)[tail.size()] = std::byte{0x80};
  const std::uint64_t bits = total_bytes * 8;
  std::memcpy(out->data() + blocks * kMd5BlockBytes - kLengthBytes, &bits, kLengthBytes);
  return blocks;
}

std::array<std::byte, 16> md5_digest(const Md5State& state) {
  std::array<std::byte, 16> digest;
  std::memcpy(digest.data(), state.words.data(), digest.size());
  return digest;
}

}  // namespace shoal
