// Fuzz targets: each .cc of this folder but driver.cc gives one parser of outside bytes to whoever
// turns it: libFuzzer (clang, -DSHOAL_LIBFUZZER=ON), or driver.cc, which mutates the target's seeds
// from a fixed seed and so repeats. A target checks with CHECK what must hold of any input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace shoal::fuzz {

// Given by each target: inputs to begin with, and words that the format knows.
std::vector<std::string> seeds();
std::vector<std::string> words();

// Takes decisions off the front of an input; zeros and nothing when it has run out.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size)
      : left_(reinterpret_cast<const char*>(data), size) {}
  bool empty() const { return left_.empty(); }
  template <typename Number>
  Number take() {
    Number value{};
    const std::size_t n = left_.size() < sizeof value ? left_.size() : sizeof value;
    if (n > 0) std::memcpy(&value, left_.data(), n);
    left_.remove_prefix(n);
    return value;
  }
  std::size_t below(std::size_t bound) { return take<std::uint8_t>() % bound; }
  std::string_view bytes(std::size_t size) {
    const std::string_view part = left_.substr(0, size);
    left_.remove_prefix(part.size());
    return part;
  }
  std::string_view rest() { return bytes(left_.size()); }

 private:
  std::string_view left_;
};

}  // namespace shoal::fuzz
