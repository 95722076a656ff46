// getattr, setattr, statfs.
#include <sys/statvfs.h>

#include "base/posix_name.h"
#include "fuse/reply.h"

namespace shoal::fuse {
namespace {

std::int64_t to_ns(const timespec& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; }

Task<void> get_attributes(FuseSession* session, fuse_req_t request, InodeId inode) {
  reply_attributes(request, co_await session->fs().get_attributes(inode));
}

Task<void> set_attributes(FuseSession* session, fuse_req_t request, proto::SetAttributes change) {
  reply_attributes(request, co_await session->fs().set_attributes(std::move(change)));
}

Task<void> statistics(FuseSession* session, fuse_req_t request) {
  auto result = co_await session->fs().statistics();
  if (!result.ok()) {
    reply_status(request, result.status());
    co_return;
  }
  struct statvfs st {};
  st.f_bsize = kPageSize;
  st.f_frsize = kPageSize;
  st.f_blocks = result->total_bytes / kPageSize;
  st.f_bfree = result->free_bytes / kPageSize;
  st.f_bavail = st.f_bfree;
  // Files are limited by memory, not by a table: what is free is what the space would hold of
  // one-page files.
  st.f_files = result->file_count + st.f_bfree;
  st.f_ffree = st.f_bfree;
  st.f_favail = st.f_bfree;
  st.f_namemax = kMaxPosixName;
  fuse_reply_statfs(request, &st);
}

void on_getattr(fuse_req_t request, fuse_ino_t inode, fuse_file_info*) {
  auto& session = session_of(request);
  session.spawn(get_attributes(&session, request, InodeId(inode)));
}

void on_setattr(fuse_req_t request, fuse_ino_t inode, struct stat* attributes, int to_set,
                fuse_file_info*) {
  proto::SetAttributes change;
  change.set_inode(inode);
  if (to_set & FUSE_SET_ATTR_MODE) {
    change.set_set_mode(true);
    change.set_mode(attributes->st_mode & 07777);
  }
  if (to_set & FUSE_SET_ATTR_UID) {
    change.set_set_uid(true);
    change.set_uid(attributes->st_uid);
  }
  if (to_set & FUSE_SET_ATTR_GID) {
    change.set_set_gid(true);
    change.set_gid(attributes->st_gid);
  }
  if (to_set & FUSE_SET_ATTR_SIZE) {
    change.set_set_size(true);
    change.set_size(static_cast<std::uint64_t>(attributes->st_size));
  }
  if (to_set & FUSE_SET_ATTR_ATIME) {
    change.set_set_atime(true);
    change.set_atime_now((to_set & FUSE_SET_ATTR_ATIME_NOW) != 0);
    change.set_atime_ns(to_ns(attributes->st_atim));
  }
  if (to_set & FUSE_SET_ATTR_MTIME) {
    change.set_set_mtime(true);
    change.set_mtime_now((to_set & FUSE_SET_ATTR_MTIME_NOW) != 0);
    change.set_mtime_ns(to_ns(attributes->st_mtim));
  }
  auto& session = session_of(request);
  session.spawn(set_attributes(&session, request, std::move(change)));
}

void on_statfs(fuse_req_t request, fuse_ino_t) {
  auto& session = session_of(request);
  session.spawn(statistics(&session, request));
}

}  // namespace

void add_attribute_operations(fuse_lowlevel_ops& table) {
  table.getattr = on_getattr;
  table.setattr = on_setattr;
  table.statfs = on_statfs;
}

}  // namespace shoal::fuse
