// Operations on a file's list of extents: pure functions. The list is ascending and without
// overlap; what is cut off or replaced is reported piece by piece, so that its owner can keep
// account of it.
#pragma once

#include <functional>

#include "base/extent.h"

namespace shoal {

// Called with each run that no longer belongs to the list.
using DroppedExtent = std::function<void(const Extent&)>;

// The part [from, to) of `extent` in file offsets; it must overlap.
Extent cut_extent(const Extent& extent, std::uint64_t from, std::uint64_t to);
// Takes [from, to) out of the list.
void punch_extents(ExtentList* list, std::uint64_t from, std::uint64_t to,
                   const DroppedExtent& dropped);
// Puts `extent` in, over whatever it overlaps.
void insert_extent(ExtentList* list, const Extent& extent, const DroppedExtent& dropped);
// What of the list lies in [from, to), cut to it.
ExtentList slice_extents(const ExtentList& list, std::uint64_t from, std::uint64_t to);

}  // namespace shoal
