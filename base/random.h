// Random: injected randomness. SeededRandom (xoshiro256**) repeats from its seed;
// secure_random_bytes is the kernel's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace shoal {

class Random {
 public:
  virtual ~Random() = default;
  virtual std::uint64_t next() = 0;
  // Uniform in [0, bound); bound > 0.
  std::uint64_t below(std::uint64_t bound);
};

// Not thread-safe: one per owner. Source: Blackman and Vigna, xoshiro256** 1.0, seeded through
// splitmix64.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed);
  std::uint64_t next() override;

 private:
  std::array<std::uint64_t, 4> state_;
};

// Fills `out` from getrandom(2). For secrets, uuids and seeds.
void secure_random_bytes(std::span<std::byte> out);
std::uint64_t secure_random_u64();
// A random (version 4) uuid in its text form, 36 characters. Source: RFC 9562.
std::string random_uuid();

}  // namespace shoal
