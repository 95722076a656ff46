// Operations on names: look-up, making, linking, removing and renaming.
#include <cerrno>

#include "fuse/reply.h"

namespace shoal::fuse {
namespace {

proto::Identity identity_of(fuse_req_t request) {
  const fuse_ctx* context = fuse_req_ctx(request);
  proto::Identity identity;
  identity.set_uid(context->uid);
  identity.set_gid(context->gid);
  return identity;
}

Task<void> lookup(FuseSession* session, fuse_req_t request, InodeId parent, std::string name) {
  reply_entry(request, co_await session->fs().lookup(parent, std::move(name)));
}

Task<void> create(FuseSession* session, fuse_req_t request, proto::CreateFile file) {
  reply_entry(request, co_await session->fs().create(std::move(file)));
}

Task<void> link(FuseSession* session, fuse_req_t request, InodeId inode, InodeId parent,
                std::string name) {
  reply_entry(request, co_await session->fs().link(inode, parent, std::move(name)));
}

Task<void> unlink(FuseSession* session, fuse_req_t request, InodeId parent, std::string name) {
  reply_status(request, co_await session->fs().unlink(parent, std::move(name)));
}

Task<void> remove_directory(FuseSession* session, fuse_req_t request, InodeId parent,
                            std::string name) {
  reply_status(request, co_await session->fs().remove_directory(parent, std::move(name)));
}

Task<void> rename(FuseSession* session, fuse_req_t request, proto::RenameFile command) {
  reply_status(request, co_await session->fs().rename(std::move(command)));
}

Task<void> read_symlink(FuseSession* session, fuse_req_t request, InodeId inode) {
  auto target = co_await session->fs().read_symlink(inode);
  if (!target.ok()) {
    reply_status(request, target.status());
  } else {
    fuse_reply_readlink(request, target->c_str());
  }
}

void on_lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  auto& session = session_of(request);
  session.spawn(lookup(&session, request, InodeId(parent), name));
}

// Look-ups are not counted: a node id is the inode id, and the metadata daemon knows which inodes
// are open.
void on_forget(fuse_req_t request, fuse_ino_t, std::uint64_t) { fuse_reply_none(request); }
void on_forget_multi(fuse_req_t request, std::size_t, fuse_forget_data*) {
  fuse_reply_none(request);
}

void start_create(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode,
                  proto::CreateFile file) {
  file.set_parent(parent);
  file.set_name(name);
  file.set_mode(mode & 07777);
  file.set_exclusive(true);
  *file.mutable_owner() = identity_of(request);
  auto& session = session_of(request);
  session.spawn(create(&session, request, std::move(file)));
}

void on_mknod(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
  proto::CreateFile file;
  file.set_type(type_of_mode(mode));
  file.set_device(device);
  start_create(request, parent, name, mode, std::move(file));
}

void on_mkdir(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
  proto::CreateFile file;
  file.set_type(proto::DIRECTORY);
  start_create(request, parent, name, mode, std::move(file));
}

void on_symlink(fuse_req_t request, const char* target, fuse_ino_t parent, const char* name) {
  proto::CreateFile file;
  file.set_type(proto::SYMLINK);
  file.set_symlink_target(target);
  start_create(request, parent, name, 0777, std::move(file));
}

void on_link(fuse_req_t request, fuse_ino_t inode, fuse_ino_t parent, const char* name) {
  auto& session = session_of(request);
  session.spawn(link(&session, request, InodeId(inode), InodeId(parent), name));
}

void on_unlink(fuse_req_t request, fuse_ino_t parent, const char* name) {
  auto& session = session_of(request);
  session.spawn(unlink(&session, request, InodeId(parent), name));
}

void on_rmdir(fuse_req_t request, fuse_ino_t parent, const char* name) {
  auto& session = session_of(request);
  session.spawn(remove_directory(&session, request, InodeId(parent), name));
}

void on_rename(fuse_req_t request, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
               const char* new_name, unsigned flags) {
  constexpr unsigned kNoReplace = 1;  // RENAME_NOREPLACE and RENAME_EXCHANGE of renameat2(2)
  constexpr unsigned kExchange = 2;
  if ((flags & ~(kNoReplace | kExchange)) != 0 || flags == (kNoReplace | kExchange)) {
    fuse_reply_err(request, EINVAL);
    return;
  }
  proto::RenameFile command;
  command.set_source_parent(parent);
  command.set_source_name(name);
  command.set_target_parent(new_parent);
  command.set_target_name(new_name);
  command.set_no_replace((flags & kNoReplace) != 0);
  command.set_exchange((flags & kExchange) != 0);
  auto& session = session_of(request);
  session.spawn(rename(&session, request, std::move(command)));
}

void on_readlink(fuse_req_t request, fuse_ino_t inode) {
  auto& session = session_of(request);
  session.spawn(read_symlink(&session, request, InodeId(inode)));
}

}  // namespace

void add_name_operations(fuse_lowlevel_ops& table) {
  table.lookup = on_lookup;
  table.forget = on_forget;
  table.forget_multi = on_forget_multi;
  table.mknod = on_mknod;
  table.mkdir = on_mkdir;
  table.symlink = on_symlink;
  table.link = on_link;
  table.unlink = on_unlink;
  table.rmdir = on_rmdir;
  table.rename = on_rename;
  table.readlink = on_readlink;
}

}  // namespace shoal::fuse
