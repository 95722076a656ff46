// Strong ids: numbers that cannot be mixed up by accident. Compare, hash, print; no arithmetic.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace shoal {

template <typename Tag, typename Number>
class Id {
 public:
  using number_type = Number;
  constexpr Id() = default;
  constexpr explicit Id(Number value) : value_(value) {}
  constexpr Number value() const { return value_; }
  friend constexpr auto operator<=>(Id, Id) = default;
  std::string to_string() const { return std::to_string(value_); }

  template <typename H>
  friend H AbslHashValue(H h, Id id) {
    return H::combine(std::move(h), id.value_);
  }

 private:
  Number value_ = 0;
};

using InodeId = Id<struct InodeTag, std::uint64_t>;  // 1 is the root directory; 0 is "none"
using DriveId =
    Id<struct DriveTag, std::uint32_t>;        // index of a drive in the cluster map, never reused
using PgId = Id<struct PgTag, std::uint32_t>;  // placement group: a row of the placement table
using PackId = Id<struct PackTag, std::uint64_t>;        // see make_pack_id
using SessionId = Id<struct SessionTag, std::uint64_t>;  // one run of one client
using NodeId = Id<struct NodeTag, std::uint32_t>;        // a storaged process

inline constexpr InodeId kRootInode{1};

// A pack id carries its placement group (upper 24 bits), so that an extent alone tells where its
// bytes are.
inline constexpr int kPackSequenceBits = 40;
constexpr PackId make_pack_id(PgId pg, std::uint64_t sequence) {
  return PackId((static_cast<std::uint64_t>(pg.value()) << kPackSequenceBits) | sequence);
}
constexpr PgId pg_of_pack(PackId pack) {
  return PgId(static_cast<std::uint32_t>(pack.value() >> kPackSequenceBits));
}
inline constexpr std::uint64_t kPackSequences = std::uint64_t{1} << kPackSequenceBits;
constexpr std::uint64_t sequence_of_pack(PackId pack) {
  return pack.value() & (kPackSequences - 1);
}

}  // namespace shoal

template <typename Tag, typename Number>
struct std::hash<shoal::Id<Tag, Number>> {
  std::size_t operator()(shoal::Id<Tag, Number> id) const noexcept {
    return std::hash<Number>()(id.value());
  }
};
