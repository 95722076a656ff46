// Attributes, bytes and extended attributes of one inode.
#include <sys/stat.h>

#include "metad/ops/ops.h"
#include "metad/state/object_record.h"

namespace shoal::metad {
namespace {

constexpr std::size_t kMaxXattrName = 255;
constexpr std::size_t kMaxXattrValue = 64 * 1024;

// The bytes are no longer what S3 hashed.
void drop_object_tag(Inode& inode, const Context& context) {
  if (inode.object.empty()) return;
  proto::ObjectMeta object = stored_object(inode);
  if (object.last_modified_ns() == 0) {
    inode.object.clear();  // a tag that swap_ops.cc kept, and nothing of S3
    return;
  }
  object.clear_etag();
  object.clear_checksums();
  object.clear_part_count();
  object.clear_part_sizes();
  object.set_last_modified_ns(context.time_ns);
  inode.object = pack_object(object, inode.birth_ns);
}

void new_version(State& state, Inode& inode, const Context& context, std::int64_t mtime_ns) {
  ++inode.data_version;
  inode.mtime_ns = mtime_ns == 0 ? context.time_ns : mtime_ns;
  inode.ctime_ns = context.time_ns;
  drop_object_tag(inode, context);
  state.touch(inode);
}

Result<Inode*> need_regular(State& state, std::uint64_t id) {
  ASSIGN_OR_RETURN(Inode * inode, state.need(id));
  if (inode->is_directory())
    return IsDirectoryError("inode " + std::to_string(id) + " is a directory");
  if (!inode->is_regular())
    return InvalidArgumentError("inode " + std::to_string(id) + " holds no bytes");
  return inode;
}

Status check_xattr_name(const std::string& name) {
  for (const char* prefix : {"user.", "trusted.", "security."}) {
    if (name.starts_with(prefix) && name.size() > std::string_view(prefix).size()) {
      return name.size() > kMaxXattrName ? OutOfRangeError("an xattr name of over 255 bytes")
                                         : OkStatus();
    }
  }
  return NotSupportedError("xattr " + name + ": only user., trusted. and security. are kept");
}

}  // namespace

Status set_attributes(State& state, const proto::SetAttributes& op, const Context& context,
                      proto::CommandReply* reply) {
  ASSIGN_OR_RETURN(Inode * inode, state.need(op.inode()));
  if (op.set_size()) {
    ASSIGN_OR_RETURN(inode, need_regular(state, op.inode()));
    if (op.size() > kMaxFileBytes)
      return TooLargeError("a size of " + std::to_string(op.size()) + " bytes");
  }
  if (op.set_mode()) inode->mode = static_cast<std::uint16_t>(op.mode() & 07777);
  if (op.set_uid()) inode->uid = op.uid();
  if (op.set_gid()) inode->gid = op.gid();
  const bool chowned = (op.set_uid() || op.set_gid()) && !op.set_mode() && !inode->is_directory();
  if (op.clear_suid() || chowned) {
    inode->mode &= static_cast<std::uint16_t>(~S_ISUID);
    if (inode->mode & S_IXGRP) inode->mode &= static_cast<std::uint16_t>(~S_ISGID);
  }
  if (op.set_size()) {
    if (op.size() < inode->size)
      punch_extents(&inode->extents, op.size(), kMaxFileBytes * 2, state.releaser());
    inode->size = op.size();
    new_version(state, *inode, context, 0);
  }
  if (op.set_atime()) inode->atime_ns = op.atime_now() ? context.time_ns : op.atime_ns();
  if (op.set_mtime()) inode->mtime_ns = op.mtime_now() ? context.time_ns : op.mtime_ns();
  inode->ctime_ns = context.time_ns;
  inode->implicit = false;  // somebody cares about the directory itself
  state.touch(*inode);
  *reply->mutable_file()->mutable_attributes() = state.attributes_of(*inode);
  return OkStatus();
}

Status commit_data(State& state, const proto::CommitData& op, const Context& context,
                   proto::CommandReply* reply) {
  ASSIGN_OR_RETURN(Inode * inode, need_regular(state, op.inode()));
  ASSIGN_OR_RETURN(const ExtentList extents, extents_from_proto(op.extents()));
  RETURN_IF_ERROR(state.check_extents(extents, context));
  const std::uint64_t end = extents.empty() ? 0 : extents.back().file_end();
  if (std::max(op.size_at_least(), end) > kMaxFileBytes)
    return TooLargeError("a file of over 2^62 bytes");
  for (const proto::ByteRange& hole : op.punch()) {
    if (hole.offset() > kMaxFileBytes || hole.length() > kMaxFileBytes)
      return InvalidArgumentError("a hole out of range");
  }
  for (const proto::ByteRange& hole : op.punch()) {
    punch_extents(&inode->extents, hole.offset(), hole.offset() + hole.length(), state.releaser());
  }
  state.account(extents, true);
  for (const Extent& extent : extents) insert_extent(&inode->extents, extent, state.releaser());
  inode->size = std::max({inode->size, op.size_at_least(), end});
  new_version(state, *inode, context, op.mtime_ns());
  *reply->mutable_file()->mutable_attributes() = state.attributes_of(*inode);
  return OkStatus();
}

Status clone_range(State& state, const proto::CloneRange& op, const Context& context,
                   proto::CommandReply* reply) {
  ASSIGN_OR_RETURN(Inode * source, need_regular(state, op.source()));
  ASSIGN_OR_RETURN(Inode * target, need_regular(state, op.target()));
  if (op.source_offset() > kMaxFileBytes || op.target_offset() > kMaxFileBytes ||
      op.length() > kMaxFileBytes) {
    return TooLargeError("a range out of bounds");
  }
  const std::uint64_t source_end = std::min(source->size, op.source_offset() + op.length());
  if (source_end <= op.source_offset()) {
    *reply->mutable_file()->mutable_attributes() = state.attributes_of(*target);
    return OkStatus();
  }
  const std::uint64_t length = source_end - op.source_offset();
  const bool overlaps = source == target && op.source_offset() < op.target_offset() + length &&
                        op.target_offset() < source_end;
  if (overlaps) return InvalidArgumentError("the ranges overlap");
  ExtentList shared = slice_extents(source->extents, op.source_offset(), source_end);
  for (Extent& extent : shared)
    extent.file_offset = extent.file_offset - op.source_offset() + op.target_offset();
  state.account(shared, false);
  punch_extents(&target->extents, op.target_offset(), op.target_offset() + length,
                state.releaser());
  for (const Extent& extent : shared) insert_extent(&target->extents, extent, state.releaser());
  target->size = std::max(target->size, op.target_offset() + length);
  new_version(state, *target, context, 0);
  *reply->mutable_file()->mutable_attributes() = state.attributes_of(*target);
  return OkStatus();
}

Status set_xattr(State& state, const proto::SetXattr& op, const Context& context) {
  ASSIGN_OR_RETURN(Inode * inode, state.need(op.inode()));
  RETURN_IF_ERROR(check_xattr_name(op.name()));
  if (op.value().size() > kMaxXattrValue) return OutOfRangeError("an xattr value of over 64 KiB");
  const bool exists = inode->extras != nullptr && inode->extras->xattrs.contains(op.name());
  if (op.create_only() && exists) return AlreadyExistsError("xattr " + op.name() + " exists");
  if (op.replace_only() && !exists) return NoDataError("xattr " + op.name() + " does not exist");
  inode->need_extras().xattrs[op.name()] = op.value();
  inode->ctime_ns = context.time_ns;
  inode->implicit = false;
  state.touch(*inode);
  return OkStatus();
}

Status remove_xattr(State& state, const proto::RemoveXattr& op, const Context& context) {
  ASSIGN_OR_RETURN(Inode * inode, state.need(op.inode()));
  RETURN_IF_ERROR(check_xattr_name(op.name()));
  if (inode->extras == nullptr || inode->extras->xattrs.erase(op.name()) == 0) {
    return NoDataError("xattr " + op.name() + " does not exist");
  }
  inode->ctime_ns = context.time_ns;
  state.touch(*inode);
  return OkStatus();
}

}  // namespace shoal::metad
