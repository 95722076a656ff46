#include "client/dirty_data.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace shoal::client {

void DirtyData::erase(std::uint64_t from, std::uint64_t to) {
  if (from >= to) return;
  auto at = runs_.upper_bound(from);
  if (at != runs_.begin()) --at;
  while (at != runs_.end() && at->first < to) {
    const std::uint64_t start = at->first;
    const std::uint64_t end = start + at->second.size();
    if (end <= from) {
      ++at;
      continue;
    }
    const Buffer whole = at->second;
    bytes_ -= whole.size();
    at = runs_.erase(at);
    if (start < from) {
      runs_.emplace(start, whole.slice(0, from - start));
      bytes_ += from - start;
    }
    if (end > to) {
      runs_.emplace(to, whole.slice(to - start, end - to));
      bytes_ += end - to;
    }
  }
}

void DirtyData::write(std::uint64_t offset, Buffer data) {
  if (data.empty()) return;
  erase(offset, offset + data.size());
  bytes_ += data.size();
  runs_.emplace(offset, std::move(data));
}

void DirtyData::merge_below(const DirtyData& older) {
  DirtyData merged = older;
  for (const auto& [offset, data] : runs_) merged.write(offset, data);
  *this = std::move(merged);
}

void DirtyData::clear() {
  runs_.clear();
  bytes_ = 0;
}

std::vector<std::pair<std::uint64_t, Buffer>> DirtyData::slice(std::uint64_t from,
                                                               std::uint64_t to) const {
  std::vector<std::pair<std::uint64_t, Buffer>> parts;
  auto at = runs_.upper_bound(from);
  if (at != runs_.begin()) --at;
  for (; at != runs_.end() && at->first < to; ++at) {
    const std::uint64_t start = std::max(from, at->first);
    const std::uint64_t end = std::min(to, at->first + at->second.size());
    if (start < end) parts.emplace_back(start, at->second.slice(start - at->first, end - start));
  }
  return parts;
}

bool DirtyData::overlaps(std::uint64_t from, std::uint64_t to) const {
  auto at = runs_.lower_bound(to);
  if (at == runs_.begin()) return false;
  --at;
  return at->first + at->second.size() > from;
}

std::vector<std::pair<std::uint64_t, Buffer>> coalesce(const DirtyData& data, std::uint64_t limit) {
  std::vector<std::pair<std::uint64_t, Buffer>> pieces;
  BufferList collected;
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  const auto finish = [&] {
    if (!collected.empty()) pieces.emplace_back(start, flatten(std::exchange(collected, {})));
  };
  for (const auto& [offset, buffer] : data.runs()) {
    for (std::size_t at = 0; at < buffer.size();) {
      const std::uint64_t position = offset + at;
      if (collected.empty() || position != end || position % limit == 0) {
        finish();
        start = position;
      }
      const std::size_t n = std::min<std::uint64_t>(buffer.size() - at, limit - position % limit);
      collected.push_back(buffer.slice(at, n));
      at += n;
      end = position + n;
    }
  }
  finish();
  return pieces;
}

}  // namespace shoal::client
