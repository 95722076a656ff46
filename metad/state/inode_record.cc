#include "metad/state/inode_record.h"

#include "base/compact.h"
#include "base/row_layout.h"
#include "metad/state/object_record.h"

namespace shoal::metad {
namespace {

// The first byte: the type in three bits, and what is there.
constexpr unsigned kTypeBits = 7;
constexpr unsigned kImplicit = 1 << 3;
constexpr unsigned kHasObject = 1 << 4;
constexpr unsigned kHasExtras = 1 << 5;
constexpr unsigned kOtherLinkCount = 1 << 6;  // not the one that files have
constexpr unsigned kIsObject = 1 << 7;        // of a directory

// The first byte of the extras.
constexpr unsigned kHasTarget = 1;
constexpr unsigned kHasDevice = 2;
constexpr unsigned kHasXattrs = 4;
constexpr unsigned kHasHolders = 8;

// In the byte of an extent's column.
constexpr unsigned kCut = 0x80;  // it is not its whole piece
static_assert(kMaxDataColumns <= kCut);

constexpr std::uint64_t kMaxMode = 07777;

std::int64_t difference(std::int64_t a, std::int64_t b) {  // modulo 2^64
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}
std::int64_t sum(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

void write_extents(const ExtentList& extents, std::string* out) {
  put_varint(out, extents.size());
  std::uint64_t end = 0;
  for (const Extent& extent : extents) {
    put_varint(out, extent.file_offset - end);
    put_varint(out, extent.length);
    put_varint(out, pg_of_pack(extent.pack).value());
    put_varint(out, sequence_of_pack(extent.pack));
    put_varint(out, extent.row);
    out->push_back(static_cast<char>(extent.column | (extent.whole() ? 0 : kCut)));
    put_varint(out, extent.column_offset);
    if (!extent.whole()) {
      put_varint(out, extent.stored_offset);
      put_varint(out, extent.stored_length);
    }
    put_fixed32(out, extent.crc32c);
    end = extent.file_end();
  }
}

Status read_extents(CompactReader* in, ExtentList* extents) {
  std::uint64_t end = 0;
  for (std::uint64_t left = in->varint(); left > 0 && in->ok(); --left) {
    Extent extent;
    const std::uint64_t gap = in->varint();
    extent.file_offset = end + gap;
    extent.length = in->varint32();
    const auto pg = PgId(static_cast<std::uint32_t>(
        in->varint_at_most((std::uint64_t{1} << (64 - kPackSequenceBits)) - 1)));
    extent.pack = make_pack_id(pg, in->varint_at_most(kPackSequences - 1));
    extent.row = in->varint32();
    const unsigned column = in->byte();
    extent.column = static_cast<std::uint8_t>(column & ~kCut);
    extent.column_offset = in->varint32();
    extent.stored_length = extent.length;
    if (column & kCut) {
      extent.stored_offset = in->varint32();
      extent.stored_length = in->varint32();
    }
    extent.crc32c = in->fixed32();
    const bool fits = extent.length > 0 && extent.length <= kMaxColumnBytes &&
                      extent.file_offset >= end && extent.file_end() > extent.file_offset &&
                      extent.column < kMaxDataColumns && extent.column_offset <= kMaxColumnBytes &&
                      extent.stored_offset <= extent.column_offset &&
                      std::uint64_t{extent.stored_offset} + extent.length <= extent.stored_length;
    if (!in->ok() || !fits)
      return CorruptionError("an extent at file offset " + std::to_string(extent.file_offset) +
                             " is malformed");
    end = extent.file_end();
    extents->push_back(extent);
  }
  return OkStatus();
}

void write_extras(const InodeExtras& extras, std::string* out) {
  unsigned flags = 0;
  if (!extras.symlink_target.empty()) flags |= kHasTarget;
  if (extras.device != 0) flags |= kHasDevice;
  if (!extras.xattrs.empty()) flags |= kHasXattrs;
  if (!extras.holders.empty()) flags |= kHasHolders;
  out->push_back(static_cast<char>(flags));
  if (flags & kHasTarget) put_text(out, extras.symlink_target);
  if (flags & kHasDevice) put_varint(out, extras.device);
  if (flags & kHasXattrs) {
    put_varint(out, extras.xattrs.size());
    for (const auto& [name, value] : extras.xattrs) {
      put_text(out, name);
      put_text(out, value);
    }
  }
  if (flags & kHasHolders) {
    put_varint(out, extras.holders.size());
    for (const std::uint64_t holder : extras.holders) put_varint(out, holder);
  }
}

void read_extras(CompactReader* in, InodeExtras* extras) {
  const unsigned flags = in->byte();
  if (flags > (kHasTarget | kHasDevice | kHasXattrs | kHasHolders)) in->fail();
  if (flags & kHasTarget) extras->symlink_target = std::string(in->text());
  if (flags & kHasDevice) extras->device = in->varint();
  if (flags & kHasXattrs) {
    for (std::uint64_t left = in->varint(); left > 0 && in->ok(); --left) {
      std::string name(in->text());
      extras->xattrs[std::move(name)] = std::string(in->text());
    }
  }
  if (flags & kHasHolders) {
    for (std::uint64_t left = in->varint(); left > 0 && in->ok(); --left)
      extras->holders.push_back(in->varint());
  }
}

bool has_extras(const Inode& inode) {
  const InodeExtras* const extras = inode.extras.get();
  return extras != nullptr && !(extras->symlink_target.empty() && extras->device == 0 &&
                                extras->xattrs.empty() && extras->holders.empty());
}

}  // namespace

void write_inode(const Inode& inode, std::string* out) {
  unsigned flags = inode.type;
  if (inode.implicit) flags |= kImplicit;
  if (!inode.object.empty()) flags |= kHasObject;
  if (has_extras(inode)) flags |= kHasExtras;
  if (inode.link_count != 1) flags |= kOtherLinkCount;
  if (inode.is_directory() && inode.directory->is_object) flags |= kIsObject;
  out->push_back(static_cast<char>(flags));
  put_varint(out, inode.mode);
  put_varint(out, inode.uid);
  put_varint(out, inode.gid);
  if (flags & kOtherLinkCount) put_varint(out, inode.link_count);
  put_varint(out, inode.size);
  put_varint(out, inode.data_version);
  put_fixed64(out, static_cast<std::uint64_t>(inode.mtime_ns));
  // A file's times lie close together, and some are equal.
  put_signed(out, difference(inode.ctime_ns, inode.mtime_ns));
  put_signed(out, difference(inode.birth_ns, inode.ctime_ns));
  put_signed(out, difference(inode.atime_ns, inode.birth_ns));
  if (inode.is_directory()) put_varint(out, inode.directory->parent.value());
  write_extents(inode.extents, out);
  if (flags & kHasObject) put_text(out, inode.object);
  if (flags & kHasExtras) write_extras(*inode.extras, out);
}

Status read_inode(std::string_view record, Inode* inode) {
  CompactReader in(record);
  const unsigned flags = in.byte();
  inode->type = static_cast<std::uint8_t>(flags & kTypeBits);
  inode->implicit = (flags & kImplicit) != 0;
  inode->mode = static_cast<std::uint16_t>(in.varint_at_most(kMaxMode));
  inode->uid = in.varint32();
  inode->gid = in.varint32();
  inode->link_count = (flags & kOtherLinkCount) != 0 ? in.varint32() : 1;
  inode->size = in.varint();
  inode->data_version = in.varint();
  inode->mtime_ns = static_cast<std::int64_t>(in.fixed64());
  inode->ctime_ns = sum(inode->mtime_ns, in.signed_varint());
  inode->birth_ns = sum(inode->ctime_ns, in.signed_varint());
  inode->atime_ns = sum(inode->birth_ns, in.signed_varint());
  if (!in.ok() || inode->type == proto::FILE_TYPE_UNKNOWN)
    return CorruptionError("an inode of no type, or cut short");
  if (inode->type == proto::DIRECTORY) {
    if (inode->directory == nullptr) inode->directory = std::make_unique<Directory>();
    inode->directory->parent = InodeId(in.varint());
    inode->directory->is_object = (flags & kIsObject) != 0;
  } else if (flags & kIsObject) {
    return CorruptionError("a file with the mark of a directory");
  }
  RETURN_IF_ERROR(read_extents(&in, &inode->extents));
  if (flags & kHasObject) inode->object = std::string(in.text());
  if (flags & kHasExtras) read_extras(&in, &inode->need_extras());
  return in.done() ? OkStatus() : CorruptionError("an inode cut short or with more behind it");
}

}  // namespace shoal::metad
