// What refers to packs. The index leads from names to extents, so the answer is a scan of it, in
// pages that are short enough for the loop.
#include <absl/container/flat_hash_set.h>

#include <charconv>

#include "metad/limits.h"
#include "metad/ops/ops.h"

namespace shoal::metad {
namespace {

// Where a page begins: at an extent of an inode or of a part. As text "i SHARD INODE OFFSET" or
// "u PART OFFSET UPLOAD".
struct Cursor {
  bool in_uploads = false;
  std::uint64_t shard = 0;
  std::uint64_t inode = 0;
  std::string upload;
  std::uint64_t part = 0;
  std::uint64_t offset = 0;  // in the file or part

  std::string text() const {
    if (in_uploads)
      return "u " + std::to_string(part) + " " + std::to_string(offset) + " " + upload;
    return "i " + std::to_string(shard) + " " + std::to_string(inode) + " " +
           std::to_string(offset);
  }
};

// Takes "NUMBER" and the blank behind it off the front.
bool take_number(std::string_view* text, std::uint64_t* number) {
  const auto parsed = std::from_chars(text->data(), text->data() + text->size(), *number);
  if (parsed.ec != std::errc()) return false;
  text->remove_prefix(static_cast<std::size_t>(parsed.ptr - text->data()));
  if (text->starts_with(' ')) text->remove_prefix(1);
  return true;
}

Result<Cursor> parse_cursor(std::string_view text) {
  Cursor cursor;
  if (text.empty()) return cursor;
  std::string_view rest = text.size() > 2 ? text.substr(2) : std::string_view();
  bool good = false;
  if (text.starts_with("i ")) {
    good = take_number(&rest, &cursor.shard) && take_number(&rest, &cursor.inode) &&
           take_number(&rest, &cursor.offset) && rest.empty() && cursor.shard < State::kShards;
  } else if (text.starts_with("u ")) {
    cursor.in_uploads = true;
    good = take_number(&rest, &cursor.part) && take_number(&rest, &cursor.offset);
    cursor.upload = rest;
  }
  if (!good) return InvalidArgumentError("the cursor of ListReferences is not one of its own");
  return cursor;
}

class Page {
 public:
  Page(const proto::ListReferences& op, proto::ListReferencesReply* reply)
      : packs_(op.packs().begin(), op.packs().end()),
        limit_(op.limit() == 0 ? kMaxReferencesPerPage
                               : std::min<std::size_t>(op.limit(), kMaxReferencesPerPage)),
        reply_(reply) {}

  bool full() const { return taken_ >= limit_ || scanned_ >= kMaxScannedPerPage; }
  // An inode or a part was looked at.
  void count_visit() { ++scanned_; }
  std::uint64_t visits_left() const {
    return scanned_ >= kMaxScannedPerPage ? 0 : kMaxScannedPerPage - scanned_;
  }

  // What of `list` from `from` on is asked for. Returns the offset to go on from when the page is
  // full before the list's end.
  std::optional<std::uint64_t> take(const ExtentList& list, std::uint64_t from,
                                    const std::function<void(proto::Reference*)>& name) {
    auto at = std::partition_point(list.begin(), list.end(), [&](const Extent& extent) {
      return extent.file_offset < from;
    });
    ExtentList found;
    std::optional<std::uint64_t> rest;
    for (; at != list.end(); ++at) {
      if (full()) {
        rest = at->file_offset;
        break;
      }
      ++scanned_;
      if (!packs_.empty() && !packs_.contains(at->pack.value())) continue;
      found.push_back(*at);
      ++taken_;
    }
    if (!found.empty()) {
      proto::Reference* reference = reply_->add_references();
      name(reference);
      extents_to_proto(found, reference->mutable_extents());
    }
    return rest;
  }

 private:
  const absl::flat_hash_set<std::uint64_t> packs_;
  const std::size_t limit_;
  proto::ListReferencesReply* const reply_;
  std::size_t taken_ = 0;
  std::uint64_t scanned_ = 0;
};

std::optional<std::uint64_t> take_inode(Page* page, const Inode& inode, std::uint64_t from) {
  return page->take(inode.extents, from,
                    [&](proto::Reference* reference) { reference->set_inode(inode.id); });
}

// Returns whether the page is full; `cursor` then says where the next one begins.
bool scan_inodes(const State& state, Page* page, Cursor* cursor) {
  for (; cursor->shard < State::kShards; ++cursor->shard, cursor->inode = cursor->offset = 0) {
    bool full = false;
    const auto visit = [&](const Inode& inode) {
      if (page->full()) {
        *cursor = {false, cursor->shard, inode.id, {}, 0, 0};
        full = true;
        return false;
      }
      page->count_visit();
      const auto rest = take_inode(page, inode, inode.id == cursor->inode ? cursor->offset : 0);
      if (!rest) return true;
      *cursor = {false, cursor->shard, inode.id, {}, 0, *rest};
      full = true;
      return false;
    };
    const std::uint64_t next =
        state.for_each_inode(cursor->shard, cursor->inode, page->visits_left() + 1, visit);
    if (!full && next != 0) {
      *cursor = {false, cursor->shard, next, {}, 0, 0};
      full = true;
    }
    if (full) return true;
  }
  return false;
}

bool scan_uploads(const State& state, Page* page, Cursor* cursor) {
  for (auto upload = state.uploads.lower_bound(cursor->upload); upload != state.uploads.end();
       ++upload) {
    const bool begun = upload->first == cursor->upload;
    const auto& parts = upload->second.parts;
    const auto first_part =
        begun ? static_cast<std::uint32_t>(std::min<std::uint64_t>(cursor->part, UINT32_MAX)) : 0;
    for (auto part = parts.lower_bound(first_part); part != parts.end(); ++part) {
      const std::uint64_t from = begun && part->first == cursor->part ? cursor->offset : 0;
      page->count_visit();
      const auto rest = page->take(part->second.extents, from, [&](proto::Reference* reference) {
        reference->set_upload(upload->first);
        reference->set_part(part->first);
      });
      if (!rest) continue;
      *cursor = {true, 0, 0, upload->first, part->first, *rest};
      return true;
    }
  }
  return false;
}

// All of one file or upload that is left behind the cursor.
Status list_of_one(State& state, const proto::ListReferences& op, Cursor cursor, Page* page,
                   proto::ListReferencesReply* reply) {
  if (op.inode() != 0) {
    const Inode* inode = state.find(op.inode());
    if (inode == nullptr) return OkStatus();
    const auto rest = take_inode(page, *inode, cursor.offset);
    if (rest) reply->set_next(Cursor{false, 0, op.inode(), {}, 0, *rest}.text());
    return OkStatus();
  }
  const auto upload = state.uploads.find(op.upload());
  if (upload == state.uploads.end()) return OkStatus();
  for (const auto& [number, part] : upload->second.parts) {
    if (number < cursor.part) continue;
    const auto name = [&, n = number](proto::Reference* reference) {
      reference->set_upload(op.upload());
      reference->set_part(n);
    };
    const auto rest =
        page->take(part.extents, number == cursor.part ? cursor.offset : 0, name);
    if (!rest) continue;
    reply->set_next(Cursor{true, 0, 0, op.upload(), number, *rest}.text());
    return OkStatus();
  }
  return OkStatus();
}

}  // namespace

Status list_references(State& state, const proto::ListReferences& op,
                       proto::ListReferencesReply* reply) {
  if (static_cast<std::size_t>(op.packs_size()) > kMaxPacksPerReferenceQuery) {
    return InvalidArgumentError("at most " + std::to_string(kMaxPacksPerReferenceQuery) +
                                " packs at once");
  }
  ASSIGN_OR_RETURN(Cursor cursor, parse_cursor(op.cursor()));
  Page page(op, reply);
  if (op.inode() != 0 || !op.upload().empty())
    return list_of_one(state, op, std::move(cursor), &page, reply);
  if (!cursor.in_uploads) {
    if (scan_inodes(state, &page, &cursor)) {
      reply->set_next(cursor.text());
      return OkStatus();
    }
    cursor = Cursor{true, 0, 0, {}, 0, 0};
  }
  if (scan_uploads(state, &page, &cursor)) reply->set_next(cursor.text());
  return OkStatus();
}

}  // namespace shoal::metad
