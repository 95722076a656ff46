// Extended attributes.
#include <sys/xattr.h>

#include <cerrno>

#include "fuse/reply.h"

namespace shoal::fuse {
namespace {

// The two-step protocol of getxattr(2) and listxattr(2): size 0 asks how much there is.
void reply_sized(fuse_req_t request, std::string_view value, std::size_t size) {
  if (size == 0) {
    fuse_reply_xattr(request, value.size());
  } else if (value.size() > size) {
    fuse_reply_err(request, ERANGE);
  } else {
    fuse_reply_buf(request, value.data(), value.size());
  }
}

Task<void> get_xattr(FuseSession* session, fuse_req_t request, InodeId inode, std::string name,
                     std::size_t size) {
  auto value = co_await session->fs().get_xattr(inode, std::move(name));
  if (!value.ok()) {
    reply_status(request, value.status());
  } else {
    reply_sized(request, *value, size);
  }
}

Task<void> list_xattrs(FuseSession* session, fuse_req_t request, InodeId inode, std::size_t size) {
  auto names = co_await session->fs().list_xattrs(inode);
  if (!names.ok()) {
    reply_status(request, names.status());
    co_return;
  }
  std::string list;
  for (const std::string& name : *names) list.append(name).push_back('\0');
  reply_sized(request, list, size);
}

Task<void> set_xattr(FuseSession* session, fuse_req_t request, proto::SetXattr change) {
  reply_status(request, co_await session->fs().set_xattr(std::move(change)));
}

Task<void> remove_xattr(FuseSession* session, fuse_req_t request, InodeId inode, std::string name) {
  reply_status(request, co_await session->fs().remove_xattr(inode, std::move(name)));
}

void on_getxattr(fuse_req_t request, fuse_ino_t inode, const char* name, std::size_t size) {
  auto& session = session_of(request);
  session.spawn(get_xattr(&session, request, InodeId(inode), name, size));
}

void on_listxattr(fuse_req_t request, fuse_ino_t inode, std::size_t size) {
  auto& session = session_of(request);
  session.spawn(list_xattrs(&session, request, InodeId(inode), size));
}

void on_setxattr(fuse_req_t request, fuse_ino_t inode, const char* name, const char* value,
                 std::size_t size, int flags) {
  proto::SetXattr change;
  change.set_inode(inode);
  change.set_name(name);
  change.set_value(value, size);
  change.set_create_only((flags & XATTR_CREATE) != 0);
  change.set_replace_only((flags & XATTR_REPLACE) != 0);
  auto& session = session_of(request);
  session.spawn(set_xattr(&session, request, std::move(change)));
}

void on_removexattr(fuse_req_t request, fuse_ino_t inode, const char* name) {
  auto& session = session_of(request);
  session.spawn(remove_xattr(&session, request, InodeId(inode), name));
}

}  // namespace

void add_xattr_operations(fuse_lowlevel_ops& table) {
  table.getxattr = on_getxattr;
  table.listxattr = on_listxattr;
  table.setxattr = on_setxattr;
  table.removexattr = on_removexattr;
}

}  // namespace shoal::fuse
