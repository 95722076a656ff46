#include "storaged/store/segment.h"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace shoal::storaged {
namespace {

constexpr std::string_view kPrefix = "segment-";
constexpr std::size_t kDigits = 8;

}  // namespace

std::string segment_name(std::uint32_t id) {
  const std::string digits = std::to_string(id);
  return std::string(kPrefix) + std::string(kDigits - std::min(kDigits, digits.size()), '0') +
         digits;
}

std::string describe(const FragmentKey& key) {
  return "fragment " + key.pack.to_string() + "/" + std::to_string(key.row) + "/" +
         std::to_string(key.column);
}

bool parse_segment_name(const std::string& name, std::uint32_t* id) {
  if (!name.starts_with(kPrefix)) return false;
  const char* end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + kPrefix.size(), end, *id);
  return parsed.ec == std::errc() && parsed.ptr == end && *id > 0;
}

}  // namespace shoal::storaged
