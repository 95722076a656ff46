// Operations on open files. fi->fh holds a FileHandlePtr* from open or create until release.
#include <fcntl.h>
#include <sys/uio.h>

#include <cerrno>
#include <vector>

#include "fuse/reply.h"

namespace shoal::fuse {
namespace {

using client::FileHandlePtr;

FileHandlePtr file_of(const fuse_file_info* info) {
  return *reinterpret_cast<FileHandlePtr*>(info->fh);
}

// What the kernel keeps of an open file until its release.
struct OpenInfo {
  fuse_file_info info{};
  explicit OpenInfo(const fuse_file_info* from) : info(*from) {}
};

Task<void> open(FuseSession* session, fuse_req_t request, InodeId inode, OpenInfo open) {
  auto opened = co_await session->fs().open(inode, (open.info.flags & O_TRUNC) != 0);
  if (!opened.ok()) {
    reply_status(request, opened.status());
    co_return;
  }
  auto handle = std::make_unique<FileHandlePtr>(opened->handle);
  open.info.fh = reinterpret_cast<std::uint64_t>(handle.get());
  if (fuse_reply_open(request, &open.info) == 0) {
    (void)handle.release();
  } else {
    // The caller was interrupted and will never release it.
    (void)co_await session->fs().release(*handle);
  }
}

Task<void> create(FuseSession* session, fuse_req_t request, proto::CreateFile file, OpenInfo open) {
  auto opened =
      co_await session->fs().create_and_open(std::move(file), (open.info.flags & O_TRUNC) != 0);
  if (!opened.ok()) {
    reply_status(request, opened.status());
    co_return;
  }
  auto handle = std::make_unique<FileHandlePtr>(opened->handle);
  open.info.fh = reinterpret_cast<std::uint64_t>(handle.get());
  const fuse_entry_param entry = to_entry(opened->attributes);
  if (fuse_reply_create(request, &entry, &open.info) == 0) {
    (void)handle.release();
  } else {
    (void)co_await session->fs().release(*handle);
  }
}

Task<void> read(FuseSession* session, fuse_req_t request, FileHandlePtr file, std::uint64_t offset,
                std::uint32_t length) {
  auto data = co_await session->fs().read(std::move(file), offset, length);
  if (!data.ok()) {
    reply_status(request, data.status());
    co_return;
  }
  std::vector<iovec> pieces;
  pieces.reserve(data->size());
  for (const Buffer& piece : *data) {
    if (!piece.empty()) pieces.push_back({const_cast<std::byte*>(piece.data()), piece.size()});
  }
  constexpr std::size_t kMaxPieces = 1000;  // IOV_MAX less what libfuse adds
  if (pieces.size() > kMaxPieces) {
    const Buffer whole = flatten(*data);
    fuse_reply_buf(request, whole.view().data(), whole.size());
  } else {
    fuse_reply_iov(request, pieces.data(), static_cast<int>(pieces.size()));
  }
}

Task<void> write(FuseSession* session, fuse_req_t request, FileHandlePtr file, std::uint64_t offset,
                 Buffer data, bool append) {
  const std::size_t size = data.size();
  BufferList pieces;
  pieces.push_back(std::move(data));
  auto written = co_await session->fs().write(std::move(file), offset, std::move(pieces), append);
  if (!written.ok()) {
    reply_status(request, written.status());
  } else {
    fuse_reply_write(request, size);
  }
}

Task<void> flush(FuseSession* session, fuse_req_t request, FileHandlePtr file) {
  reply_status(request, co_await session->fs().flush(std::move(file)));
}

Task<void> release(FuseSession* session, fuse_req_t request, std::unique_ptr<FileHandlePtr> file) {
  reply_status(request, co_await session->fs().release(*file));
}

Task<void> allocate(FuseSession* session, fuse_req_t request, FileHandlePtr file, int mode,
                    std::uint64_t offset, std::uint64_t length) {
  reply_status(request, co_await session->fs().allocate(std::move(file), mode, offset, length));
}

Task<void> seek(FuseSession* session, fuse_req_t request, FileHandlePtr file, std::uint64_t offset,
                bool data) {
  auto found = co_await session->fs().seek(std::move(file), offset, data);
  if (!found.ok()) {
    // Past the end lseek(2) says ENXIO, which no other operation does.
    if (found.status().code() == StatusCode::kOutOfRange) {
      fuse_reply_err(request, ENXIO);
    } else {
      reply_status(request, found.status());
    }
    co_return;
  }
  fuse_reply_lseek(request, static_cast<off_t>(*found));
}

Task<void> copy_range(FuseSession* session, fuse_req_t request, FileHandlePtr source,
                      std::uint64_t source_offset, FileHandlePtr target,
                      std::uint64_t target_offset, std::uint64_t length) {
  auto copied = co_await session->fs().copy_range(std::move(source), source_offset,
                                                  std::move(target), target_offset, length);
  if (!copied.ok()) {
    reply_status(request, copied.status());
  } else {
    fuse_reply_write(request, *copied);
  }
}

void on_open(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info) {
  auto& session = session_of(request);
  session.spawn(open(&session, request, InodeId(inode), OpenInfo(info)));
}

void on_create(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode,
               fuse_file_info* info) {
  const fuse_ctx* context = fuse_req_ctx(request);
  proto::CreateFile file;
  file.set_parent(parent);
  file.set_name(name);
  file.set_type(proto::REGULAR);
  file.set_mode(mode & 07777);
  file.set_exclusive((info->flags & O_EXCL) != 0);
  file.mutable_owner()->set_uid(context->uid);
  file.mutable_owner()->set_gid(context->gid);
  auto& session = session_of(request);
  session.spawn(create(&session, request, std::move(file), OpenInfo(info)));
}

void on_read(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* info) {
  auto& session = session_of(request);
  session.spawn(read(&session, request, file_of(info), static_cast<std::uint64_t>(offset),
                     static_cast<std::uint32_t>(size)));
}

void on_write(fuse_req_t request, fuse_ino_t, const char* data, std::size_t size, off_t offset,
              fuse_file_info* info) {
  auto& session = session_of(request);
  Buffer bytes = session.take_write_data(data, size);
  // The page cache has given an appending write its offset already; metad is asked only for direct
  // I/O.
  const bool append = (info->flags & O_APPEND) != 0 && (info->flags & O_DIRECT) != 0;
  session.spawn(write(&session, request, file_of(info), static_cast<std::uint64_t>(offset),
                      std::move(bytes), append));
}

void on_flush(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  auto& session = session_of(request);
  session.spawn(flush(&session, request, file_of(info)));
}

void on_fsync(fuse_req_t request, fuse_ino_t, int, fuse_file_info* info) {
  auto& session = session_of(request);
  session.spawn(flush(&session, request, file_of(info)));
}

void on_release(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  auto& session = session_of(request);
  std::unique_ptr<FileHandlePtr> file(reinterpret_cast<FileHandlePtr*>(info->fh));
  session.spawn(release(&session, request, std::move(file)));
}

void on_fallocate(fuse_req_t request, fuse_ino_t, int mode, off_t offset, off_t length,
                  fuse_file_info* info) {
  auto& session = session_of(request);
  session.spawn(allocate(&session, request, file_of(info), mode, static_cast<std::uint64_t>(offset),
                         static_cast<std::uint64_t>(length)));
}

void on_lseek(fuse_req_t request, fuse_ino_t, off_t offset, int whence, fuse_file_info* info) {
  if (whence != SEEK_DATA && whence != SEEK_HOLE) {
    fuse_reply_err(request, EINVAL);
    return;
  }
  auto& session = session_of(request);
  session.spawn(seek(&session, request, file_of(info), static_cast<std::uint64_t>(offset),
                     whence == SEEK_DATA));
}

void on_copy_file_range(fuse_req_t request, fuse_ino_t, off_t source_offset, fuse_file_info* source,
                        fuse_ino_t, off_t target_offset, fuse_file_info* target, std::size_t length,
                        int flags) {
  if (flags != 0) {
    fuse_reply_err(request, EINVAL);
    return;
  }
  auto& session = session_of(request);
  session.spawn(copy_range(&session, request, file_of(source),
                           static_cast<std::uint64_t>(source_offset), file_of(target),
                           static_cast<std::uint64_t>(target_offset), length));
}

}  // namespace

void add_file_operations(fuse_lowlevel_ops& table) {
  table.open = on_open;
  table.create = on_create;
  table.read = on_read;
  table.write = on_write;
  table.flush = on_flush;
  table.fsync = on_fsync;
  table.release = on_release;
  table.fallocate = on_fallocate;
  table.lseek = on_lseek;
  table.copy_file_range = on_copy_file_range;
}

}  // namespace shoal::fuse
