#include "base/extent_list.h"

#include <algorithm>

#include "base/check.h"

namespace shoal {
namespace {

// The first extent that ends behind `offset`.
ExtentList::const_iterator first_behind(const ExtentList& list, std::uint64_t offset) {
  return std::partition_point(list.begin(), list.end(),
                              [&](const Extent& e) { return e.file_end() <= offset; });
}

}  // namespace

Extent cut_extent(const Extent& extent, std::uint64_t from, std::uint64_t to) {
  const std::uint64_t start = std::max(from, extent.file_offset);
  const std::uint64_t end = std::min(to, extent.file_end());
  CHECK(start < end);
  const auto front = static_cast<std::uint32_t>(start - extent.file_offset);
  Extent part = extent;
  part.file_offset = start;
  part.column_offset += front;
  part.stored_offset += front;
  part.length = static_cast<std::uint32_t>(end - start);
  return part;
}

void punch_extents(ExtentList* list, std::uint64_t from, std::uint64_t to,
                   const DroppedExtent& dropped) {
  if (from >= to) return;
  const auto first = first_behind(*list, from) - list->cbegin();
  auto last = first;
  ExtentList kept;  // at most a left and a right rest
  while (last < static_cast<std::ptrdiff_t>(list->size())) {
    const Extent& extent = (*list)[static_cast<std::size_t>(last)];
    if (extent.file_offset >= to) break;
    if (extent.file_offset < from) kept.push_back(cut_extent(extent, extent.file_offset, from));
    if (extent.file_end() > to) kept.push_back(cut_extent(extent, to, extent.file_end()));
    dropped(cut_extent(extent, from, to));
    ++last;
  }
  const auto at = list->erase(list->begin() + first, list->begin() + last);
  list->insert(at, kept.begin(), kept.end());
}

void insert_extent(ExtentList* list, const Extent& extent, const DroppedExtent& dropped) {
  if (list->empty() || list->back().file_end() <= extent.file_offset) {
    list->push_back(extent);
    return;
  }
  punch_extents(list, extent.file_offset, extent.file_end(), dropped);
  list->insert(first_behind(*list, extent.file_offset), extent);
}

ExtentList slice_extents(const ExtentList& list, std::uint64_t from, std::uint64_t to) {
  ExtentList part;
  if (from >= to) return part;
  for (auto at = first_behind(list, from); at != list.end() && at->file_offset < to; ++at) {
    part.push_back(cut_extent(*at, from, to));
  }
  return part;
}

}  // namespace shoal
