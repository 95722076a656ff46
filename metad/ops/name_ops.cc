// Operations on names.
#include <sys/stat.h>

#include "metad/ops/ops.h"

namespace shoal::metad {
namespace {

constexpr std::uint32_t kMaxLinks = 65'000;

void modified(State& state, Inode& directory, const Context& context) {
  directory.mtime_ns = directory.ctime_ns = context.time_ns;
  // Somebody uses it as a directory of its own.
  state.touch(directory);
}

void fill_file_reply(State& state, const Inode& inode, proto::FileReply* reply) {
  *reply->mutable_attributes() = state.attributes_of(inode);
}

// Whether `inode` is `directory` or lies above it.
bool is_ancestor(State& state, const Inode& inode, const Inode& directory) {
  for (const Inode* at = &directory;; at = state.find(at->directory->parent.value())) {
    if (at == nullptr) return false;
    if (at->id == inode.id) return true;
    if (at->id == kRootInode.value()) return false;
  }
}

Status check_symlink(const proto::CreateFile& op) {
  constexpr std::size_t kMaxTarget = 4095;
  if (op.type() != proto::SYMLINK) return OkStatus();
  if (op.symlink_target().empty()) return NotFoundError("a symlink needs a target");
  if (op.symlink_target().size() > kMaxTarget)
    return NameTooLongError("a symlink's target is over 4095 bytes");
  return OkStatus();
}

}  // namespace

Status create_file(State& state, const proto::CreateFile& op, const Context& context,
                   proto::CommandReply* reply) {
  ASSIGN_OR_RETURN(Inode * parent, state.need_directory(op.parent()));
  if (op.type() == proto::FILE_TYPE_UNKNOWN || !proto::FileType_IsValid(op.type()))
    return InvalidArgumentError("a file of no type");
  RETURN_IF_ERROR(check_symlink(op));
  Entry entry;
  if (!op.unlinked()) {
    ASSIGN_OR_RETURN(entry, state.resolve(*parent, op.name()));
    if (entry.inode != nullptr) {
      if (op.exclusive() || op.type() != proto::REGULAR)
        return AlreadyExistsError(op.name() + " exists");
      if (entry.inode->is_directory()) return IsDirectoryError(op.name() + " is a directory");
      fill_file_reply(state, *entry.inode, reply->mutable_file());
      extents_to_proto(entry.inode->extents, reply->mutable_file()->mutable_extents());
      return OkStatus();
    }
    if (parent->link_count == 0) return StaleHandleError("the directory was removed");
    // An escape that names nothing cannot be made: it would read back as something else.
    ASSIGN_OR_RETURN(const RawName raw, from_posix_name(op.name()));
    if (raw.is_long || raw.shadowed_file)
      return NotFoundError(op.name() + " is an escape that names nothing");
  }
  Inode& inode = state.create_inode(op.type(), op.mode(), op.owner(), context);
  if (parent->mode & S_ISGID) {
    inode.gid = parent->gid;
    if (inode.is_directory()) inode.mode |= S_ISGID;
  }
  if (op.type() == proto::SYMLINK) inode.need_extras().symlink_target = op.symlink_target();
  if (op.device() != 0) inode.need_extras().device = op.device();
  if (op.unlinked()) {
    inode.need_extras().holders.push_back(context.session);
  } else {
    std::string key = entry.key;
    key.back() = inode.is_directory() ? kDirectoryByte : kFileByte;
    state.add_entry(*parent, key, inode);
    modified(state, *parent, context);
  }
  fill_file_reply(state, inode, reply->mutable_file());
  reply->mutable_file()->set_created(true);
  return OkStatus();
}

Status link_file(State& state, const proto::LinkFile& op, const Context& context,
                 proto::CommandReply* reply) {
  ASSIGN_OR_RETURN(Inode * inode, state.need(op.inode()));
  ASSIGN_OR_RETURN(Inode * parent, state.need_directory(op.parent()));
  if (inode->is_directory()) return NotPermittedError("a directory cannot have a second name");
  if (inode->link_count >= kMaxLinks)
    return TooManyLinksError("inode " + std::to_string(inode->id));
  ASSIGN_OR_RETURN(const Entry entry, state.resolve(*parent, op.name()));
  if (entry.inode != nullptr) return AlreadyExistsError(op.name() + " exists");
  ASSIGN_OR_RETURN(const RawName raw, from_posix_name(op.name()));
  if (raw.is_long || raw.shadowed_file)
    return NotFoundError(op.name() + " is an escape that names nothing");
  if (inode->extras != nullptr && inode->link_count == 0) {
    inode->extras->holders.clear();
    state.unreaped.erase(inode->id);
  }
  state.add_entry(*parent, entry.key, *inode);
  inode->ctime_ns = context.time_ns;
  modified(state, *parent, context);
  fill_file_reply(state, *inode, reply->mutable_file());
  return OkStatus();
}

Status unlink_file(State& state, const proto::UnlinkFile& op, const Context& context,
                   proto::CommandReply* reply) {
  ASSIGN_OR_RETURN(Inode * parent, state.need_directory(op.parent()));
  ASSIGN_OR_RETURN(const Entry entry, state.resolve(*parent, op.name()));
  if (entry.inode == nullptr) return NotFoundError(op.name() + " does not exist");
  if (entry.inode->is_directory()) return IsDirectoryError(op.name() + " is a directory");
  state.remove_entry(*parent, entry.key);
  modified(state, *parent, context);
  reply->mutable_file()->mutable_attributes()->set_inode(entry.inode->id);
  reply->mutable_file()->set_orphaned(state.drop_link(*entry.inode, context));
  return OkStatus();
}

Status remove_directory(State& state, const proto::RemoveDirectory& op, const Context& context) {
  ASSIGN_OR_RETURN(Inode * parent, state.need_directory(op.parent()));
  ASSIGN_OR_RETURN(const Entry entry, state.resolve(*parent, op.name()));
  if (entry.inode == nullptr) return NotFoundError(op.name() + " does not exist");
  if (!entry.inode->is_directory()) return NotDirectoryError(op.name() + " is not a directory");
  if (!entry.inode->directory->entries.empty()) return NotEmptyError(op.name() + " is not empty");
  state.remove_entry(*parent, entry.key);
  modified(state, *parent, context);
  state.drop_link(*entry.inode, context);
  return OkStatus();
}

static Status check_rename(State& state, const proto::RenameFile& op, const Entry& source,
                           const Entry& target) {
  if (source.inode == nullptr) return NotFoundError(op.source_name() + " does not exist");
  if (op.exchange() && target.inode == nullptr)
    return NotFoundError(op.target_name() + " does not exist");
  if (op.no_replace() && target.inode != nullptr)
    return AlreadyExistsError(op.target_name() + " exists");
  if (source.inode->is_directory() && is_ancestor(state, *source.inode, *target.parent)) {
    return InvalidArgumentError(op.target_name() + " lies inside " + op.source_name());
  }
  if (op.exchange()) {
    if (target.inode->is_directory() && is_ancestor(state, *target.inode, *source.parent)) {
      return InvalidArgumentError(op.source_name() + " lies inside " + op.target_name());
    }
    return OkStatus();
  }
  if (target.inode == nullptr) {
    ASSIGN_OR_RETURN(const RawName raw, from_posix_name(op.target_name()));
    if (raw.is_long || raw.shadowed_file)
      return NotFoundError(op.target_name() + " is an escape that names nothing");
    return OkStatus();
  }
  if (source.inode->is_directory() && !target.inode->is_directory()) {
    return NotDirectoryError(op.target_name() + " is not a directory");
  }
  if (!source.inode->is_directory() && target.inode->is_directory()) {
    return IsDirectoryError(op.target_name() + " is a directory");
  }
  if (target.inode->is_directory() && !target.inode->directory->entries.empty()) {
    return NotEmptyError(op.target_name() + " is not empty");
  }
  return OkStatus();
}

// The entry's name for an inode of this kind.
static std::string key_for(const Entry& entry, const Inode& inode) {
  std::string key = entry.key;
  key.back() = inode.is_directory() ? kDirectoryByte : kFileByte;
  return key;
}

// Takes an entry out without its inode losing the link for good.
static void detach(State& state, const Entry& entry) {
  state.remove_entry(*entry.parent, entry.key);
  --entry.inode->link_count;
}

Status rename_file(State& state, const proto::RenameFile& op, const Context& context,
                   proto::CommandReply* reply) {
  ASSIGN_OR_RETURN(Inode * source_parent, state.need_directory(op.source_parent()));
  ASSIGN_OR_RETURN(Inode * target_parent, state.need_directory(op.target_parent()));
  ASSIGN_OR_RETURN(const Entry source, state.resolve(*source_parent, op.source_name()));
  ASSIGN_OR_RETURN(const Entry target, state.resolve(*target_parent, op.target_name()));
  RETURN_IF_ERROR(check_rename(state, op, source, target));
  if (target_parent->link_count == 0) return StaleHandleError("the directory was removed");
  proto::FileReply* file = reply->mutable_file();
  if (source.inode == target.inode) {  // two names of one file: nothing is done
    fill_file_reply(state, *source.inode, file);
    return OkStatus();
  }
  if (op.exchange()) {
    detach(state, source);
    detach(state, target);
    state.add_entry(*source_parent, key_for(source, *target.inode), *target.inode);
    state.add_entry(*target_parent, key_for(target, *source.inode), *source.inode);
    target.inode->ctime_ns = context.time_ns;
  } else {
    if (target.inode != nullptr) {
      file->set_replaced_inode(target.inode->id);
      state.remove_entry(*target_parent, target.key);
      file->set_orphaned(state.drop_link(*target.inode, context));
    }
    detach(state, source);
    state.add_entry(*target_parent, key_for(target, *source.inode), *source.inode);
  }
  source.inode->ctime_ns = context.time_ns;
  modified(state, *source_parent, context);
  modified(state, *target_parent, context);
  fill_file_reply(state, *source.inode, file);
  return OkStatus();
}

Status reap_orphans(State& state, const proto::ReapOrphans& op, const Context& context) {
  for (const std::uint64_t id : op.inodes()) {
    Inode* inode = state.find(id);
    if (inode == nullptr || inode->link_count > 0 || !state.unreaped.contains(id)) continue;
    state.unreaped.erase(id);
    std::vector<std::uint64_t>& holders = inode->extras->holders;
    std::erase(holders, 0);
    for (const proto::Holder& holder : context.command->holders()) {
      if (holder.inode() != id) continue;
      for (const std::uint64_t session : holder.sessions()) {
        if (state.sessions.contains(session)) holders.push_back(session);
      }
    }
    state.touch(*inode);
    if (holders.empty()) state.remove_inode(*inode);
  }
  return OkStatus();
}

Status release_orphan(State& state, const proto::ReleaseOrphan& op, const Context& context) {
  Inode* inode = state.find(op.inode());
  if (inode == nullptr || inode->extras == nullptr || inode->extras->holders.empty())
    return OkStatus();
  std::erase(inode->extras->holders, context.session);
  state.touch(*inode);
  if (inode->extras->holders.empty() && inode->link_count == 0) state.remove_inode(*inode);
  return OkStatus();
}

}  // namespace shoal::metad
