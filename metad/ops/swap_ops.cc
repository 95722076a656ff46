// Repack's commands: the same bytes from another place. Nothing that a client can see of a file
// changes.
#include <algorithm>

#include "metad/ops/ops.h"
#include "metad/state/object_record.h"

namespace shoal::metad {
namespace {

// One swap, checked.
struct Swap {
  ExtentList from;
  ExtentList to;
};

struct Counts {
  std::uint64_t exchanged = 0;
  std::uint64_t exchanged_bytes = 0;
  std::uint64_t lost = 0;
};

Result<Swap> parse_swap(const State& state, const proto::SwapExtents& op, const Context& context) {
  Swap swap;
  ASSIGN_OR_RETURN(swap.from, extents_from_proto(op.from()));
  ASSIGN_OR_RETURN(swap.to, extents_from_proto(op.to()));
  RETURN_IF_ERROR(state.check_extents(swap.to, context));
  if (swap.from.size() != swap.to.size())
    return InvalidArgumentError("as many new extents as old ones are needed");
  for (std::size_t i = 0; i < swap.from.size(); ++i) {
    const Extent& from = swap.from[i];
    const Extent& to = swap.to[i];
    if (from.file_offset != to.file_offset || from.length != to.length) {
      return InvalidArgumentError("an extent may only be exchanged for one of the same range");
    }
    if (from.file_end() <= from.file_offset)
      return InvalidArgumentError("an extent at the end of 64 bits");
  }
  return swap;
}

// In place where the list has just this extent, which is all that repack asks for.
bool exchange(State& state, ExtentList* list, const Extent& from, const Extent& to) {
  const auto at = std::partition_point(list->begin(), list->end(), [&](const Extent& extent) {
    return extent.file_end() <= from.file_offset;
  });
  if (at == list->end()) return false;
  if (*at == from) {
    state.account({to}, true);
    *at = to;
    state.release(from);
    return true;
  }
  const ExtentList there = slice_extents(*list, from.file_offset, from.file_end());
  if (there.size() != 1 || there[0] != from) return false;  // written over meanwhile
  state.account({to}, true);
  insert_extent(list, to, state.releaser());
  return true;
}

void exchange_all(State& state, ExtentList* list, const Swap& swap, Counts* counts) {
  for (std::size_t i = 0; i < swap.from.size(); ++i) {
    if (exchange(state, list, swap.from[i], swap.to[i])) {
      ++counts->exchanged;
      counts->exchanged_bytes += swap.to[i].length;
    } else {
      ++counts->lost;
    }
  }
}

// A tag that was derived from how the bytes lay is kept when they lie otherwise now.
void exchange_in_file(State& state, Inode& inode, const Swap& swap, Counts* counts) {
  const std::uint64_t before = counts->exchanged;
  const std::string tag = object_of(inode).etag();
  exchange_all(state, &inode.extents, swap, counts);
  if (counts->exchanged == before) return;
  if (object_of(inode).etag() != tag) {
    proto::ObjectMeta object = stored_object(inode);
    object.set_etag(tag);
    inode.object = pack_object(object, inode.birth_ns);
  }
  state.touch(inode);
}

void exchange_in_part(State& state, const proto::SwapExtents& op, const Swap& swap,
                      Counts* counts) {
  const auto upload = state.uploads.find(op.upload());
  if (upload == state.uploads.end()) {
    counts->lost += swap.from.size();
    return;
  }
  const auto part = upload->second.parts.find(op.part());
  if (part == upload->second.parts.end()) {
    counts->lost += swap.from.size();
    return;
  }
  const std::uint64_t before = counts->exchanged;
  exchange_all(state, &part->second.extents, swap, counts);
  if (counts->exchanged != before) state.note_upload(op.upload());
}

}  // namespace

Status swap_extents(State& state, const proto::SwapExtents& op, const Context& context) {
  ASSIGN_OR_RETURN(const Swap swap, parse_swap(state, op, context));
  Counts counts;
  if (!op.upload().empty()) {
    exchange_in_part(state, op, swap, &counts);
    return OkStatus();
  }
  ASSIGN_OR_RETURN(Inode * inode, state.need(op.inode()));
  exchange_in_file(state, *inode, swap, &counts);
  return OkStatus();
}

Status swap_references(State& state, const proto::SwapReferences& op, const Context& context,
                       proto::CommandReply* reply) {
  std::vector<Swap> swaps;
  swaps.reserve(static_cast<std::size_t>(op.swaps_size()));
  for (const proto::SwapExtents& one : op.swaps()) {
    ASSIGN_OR_RETURN(Swap swap, parse_swap(state, one, context));
    swaps.push_back(std::move(swap));
  }
  Counts counts;
  for (std::size_t i = 0; i < swaps.size(); ++i) {
    const proto::SwapExtents& one = op.swaps(static_cast<int>(i));
    Inode* const inode = one.upload().empty() ? state.find(one.inode()) : nullptr;
    if (!one.upload().empty()) {
      exchange_in_part(state, one, swaps[i], &counts);
    } else if (inode != nullptr) {
      exchange_in_file(state, *inode, swaps[i], &counts);
    } else {
      counts.lost += swaps[i].from.size();
    }
  }
  proto::SwapReferencesReply* out = reply->mutable_swap_references();
  out->set_exchanged_extents(counts.exchanged);
  out->set_exchanged_bytes(counts.exchanged_bytes);
  out->set_lost_extents(counts.lost);
  return OkStatus();
}

}  // namespace shoal::metad
