// Compact numbers and texts in byte strings, for records of which there are very many: LEB128
// varints, zigzag for signed numbers, a length before each text. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace shoal {

inline constexpr std::size_t kMaxVarintBytes = 10;

// Into memory that has room; returns what is behind it.
inline char* write_varint(char* out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) *out++ = static_cast<char>(value | 0x80);
  *out++ = static_cast<char>(value);
  return out;
}
// From memory of our own, which holds what write_varint wrote; returns what is behind it.
inline const char* read_trusted_varint(const char* in, std::uint64_t* value) {
  *value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(*in++);
    *value |= std::uint64_t{byte & 0x7fU} << shift;
    if (byte < 0x80) return in;
  }
}
inline std::size_t varint_bytes(std::uint64_t value) {
  std::size_t bytes = 1;
  for (; value >= 0x80; value >>= 7) ++bytes;
  return bytes;
}

inline void put_varint(std::string* out, std::uint64_t value) {
  char bytes[kMaxVarintBytes];
  out->append(bytes, static_cast<std::size_t>(write_varint(bytes, value) - bytes));
}
// Small in either direction is short.
inline void put_signed(std::string* out, std::int64_t value) {
  put_varint(out,
             (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63));
}
inline void put_fixed32(std::string* out, std::uint32_t value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out->append(bytes, sizeof bytes);
}
inline void put_fixed64(std::string* out, std::uint64_t value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out->append(bytes, sizeof bytes);
}
inline void put_text(std::string* out, std::string_view text) {
  put_varint(out, text.size());
  out->append(text);
}

// Reads what the functions above wrote. After the first thing that is cut short or out of range
// ok() is false and everything reads as 0 or empty.
class CompactReader {
 public:
  explicit CompactReader(std::string_view bytes)
      : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64 && at_ != end_; shift += 7) {
      const auto byte = static_cast<unsigned char>(*at_++);
      if (shift == 63 && byte > 1) break;  // over 64 bits
      value |= std::uint64_t{byte & 0x7fU} << shift;
      if (byte < 0x80) return value;
    }
    fail();
    return 0;
  }
  std::int64_t signed_varint() {
    const std::uint64_t value = varint();
    return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
  }
  // A number that may not be above `most`.
  std::uint64_t varint_at_most(std::uint64_t most) {
    const std::uint64_t value = varint();
    if (value <= most) return value;
    fail();
    return 0;
  }
  std::uint32_t varint32() { return static_cast<std::uint32_t>(varint_at_most(UINT32_MAX)); }
  std::uint8_t byte() { return static_cast<std::uint8_t>(fixed<unsigned char>()); }
  std::uint32_t fixed32() { return fixed<std::uint32_t>(); }
  std::uint64_t fixed64() { return fixed<std::uint64_t>(); }
  std::string_view text() { return take(varint()); }
  // The next `count` bytes.
  std::string_view take(std::uint64_t count) {
    if (count > left()) {
      fail();
      return {};
    }
    const std::string_view bytes(at_, count);
    at_ += count;
    return bytes;
  }

  std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }
  bool ok() const { return ok_; }
  // Everything was read, and was whole.
  bool done() const { return ok_ && at_ == end_; }
  void fail() {
    ok_ = false;
    at_ = end_;
  }

 private:
  template <typename Number>
  Number fixed() {
    Number value = 0;
    const std::string_view bytes = take(sizeof value);
    if (bytes.size() == sizeof value) std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }

  const char* at_;
  const char* end_;
  bool ok_ = true;
};

}  // namespace shoal
