// Histogram: latencies in microseconds with 1.6 % resolution, in constant memory (64 sub-buckets
// per power of two).
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace shoal::tools {

class Histogram {
 public:
  void add(std::uint64_t us) {
    ++counts_[index_of(us)];
    ++total_;
    if (us > max_) max_ = us;
  }
  void merge(const Histogram& other) {
    for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    total_ += other.total_;
    if (other.max_ > max_) max_ = other.max_;
  }
  std::uint64_t count() const { return total_; }
  std::uint64_t max() const { return max_; }
  // The smallest bucket value that at least `fraction` of the samples do not exceed; 0 without
  // samples.
  std::uint64_t percentile(double fraction) const {
    const auto wanted = static_cast<std::uint64_t>(fraction * static_cast<double>(total_));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen > 0 && seen >= wanted) return value_of(i);
    }
    return max_;
  }

 private:
  static constexpr int kSubBits = 6;
  static std::size_t index_of(std::uint64_t value) {
    if (value < (1U << kSubBits)) return value;
    const int shift = static_cast<int>(std::bit_width(value)) - kSubBits - 1;
    return (static_cast<std::size_t>(shift) << kSubBits) + static_cast<std::size_t>(value >> shift);
  }
  static std::uint64_t value_of(std::size_t index) {
    if (index < (1U << (kSubBits + 1))) return index;
    const auto shift = (index >> kSubBits) - 1;
    return ((index & ((1U << kSubBits) - 1)) + (1U << kSubBits)) << shift;
  }
  std::array<std::uint64_t, 64 * 64> counts_{};
  std::uint64_t total_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace shoal::tools
