// PosixApi: the store as the mount sees it. client::FileSystem implements it; the FUSE adapter's
// tests use one in memory. Calls belong to one executor. Names are in the POSIX view
// (base/posix_name.h). Permission checks are the caller's (the kernel's default_permissions);
// everything else that POSIX asks of an operation is done here.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/async/task.h"
#include "base/buffer.h"
#include "base/ids.h"
#include "base/result.h"
#include "proto/metadata.pb.h"

namespace shoal::client {

using Attributes = proto::Attributes;

// An open file of this client. Handles of one inode share its dirty data, so each sees the others'
// writes at once.
class FileHandle {
 public:
  virtual ~FileHandle() = default;
  virtual InodeId inode() const = 0;
};
using FileHandlePtr = std::shared_ptr<FileHandle>;

struct OpenedFile {
  Attributes attributes;
  FileHandlePtr handle;
  bool created = false;
};

struct FsStatistics {
  std::uint64_t total_bytes = 0;  // of user data the pool can hold
  std::uint64_t free_bytes = 0;
  std::uint64_t file_count = 0;
};

class PosixApi {
 public:
  virtual ~PosixApi() = default;

  // Errors: kNotFound, kNotDirectory.
  virtual Task<Result<Attributes>> lookup(InodeId parent, std::string name) = 0;
  // Size and times include what this client has written and not yet committed. Errors: kNotFound,
  // kStaleHandle.
  virtual Task<Result<Attributes>> get_attributes(InodeId inode) = 0;
  // Only the fields whose set_ flag is on; a size change first commits or drops what is dirty.
  virtual Task<Result<Attributes>> set_attributes(proto::SetAttributes request) = 0;

  // Any type of file; O_TMPFILE with request.unlinked. Errors: kAlreadyExists, kNotDirectory,
  // kNameTooLong, ...
  virtual Task<Result<Attributes>> create(proto::CreateFile request) = 0;
  // create(2): makes a regular file, or opens the one that is there unless request.exclusive.
  virtual Task<Result<OpenedFile>> create_and_open(proto::CreateFile request, bool truncate) = 0;
  virtual Task<Result<Attributes>> link(InodeId inode, InodeId parent, std::string name) = 0;
  virtual Task<Status> unlink(InodeId parent, std::string name) = 0;
  virtual Task<Status> remove_directory(InodeId parent, std::string name) = 0;
  virtual Task<Status> rename(proto::RenameFile request) = 0;
  virtual Task<Result<std::string>> read_symlink(InodeId inode) = 0;

  virtual Task<Result<OpenedFile>> open(InodeId inode, bool truncate) = 0;
  // Bytes at `offset`; fewer than `length` only at the end of the file. Holes are zeros.
  virtual Task<Result<BufferList>> read(FileHandlePtr file, std::uint64_t offset,
                                        std::uint32_t length) = 0;
  // Takes the bytes into the file's dirty data (all handles of this client see them); waits while
  // too much is dirty. With `append` the offset is the end of the file as the metadata knows it,
  // and is given back.
  virtual Task<Result<std::uint64_t>> write(FileHandlePtr file, std::uint64_t offset,
                                            BufferList data, bool append) = 0;
  // *Durable:* every write of this client to the file that had returned, and its size. fsync(2),
  // and close(2).
  virtual Task<Status> flush(FileHandlePtr file) = 0;
  // The last use of the handle. Errors are those of a flush of what was still dirty.
  virtual Task<Status> release(FileHandlePtr file) = 0;
  // fallocate(2): mode bits FALLOC_FL_KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE; others kNotSupported.
  virtual Task<Status> allocate(FileHandlePtr file, int mode, std::uint64_t offset,
                                std::uint64_t length) = 0;
  // copy_file_range(2) by sharing extents. Returns the bytes copied.
  virtual Task<Result<std::uint64_t>> copy_range(FileHandlePtr source, std::uint64_t source_offset,
                                                 FileHandlePtr target, std::uint64_t target_offset,
                                                 std::uint64_t length) = 0;
  // lseek(2) SEEK_DATA and SEEK_HOLE. Errors: kInvalidArgument; ENXIO past the end comes as
  // kOutOfRange.
  virtual Task<Result<std::uint64_t>> seek(FileHandlePtr file, std::uint64_t offset, bool data) = 0;

  // A page of a directory after `marker` (opaque; empty: from the start).
  virtual Task<Result<proto::ReadDirectoryReply>> read_directory(InodeId inode, std::string marker,
                                                                 std::uint32_t limit) = 0;

  virtual Task<Result<std::string>> get_xattr(InodeId inode, std::string name) = 0;
  virtual Task<Result<std::vector<std::string>>> list_xattrs(InodeId inode) = 0;
  virtual Task<Status> set_xattr(proto::SetXattr request) = 0;
  virtual Task<Status> remove_xattr(InodeId inode, std::string name) = 0;

  virtual Task<Result<FsStatistics>> statistics() = 0;
  // Everything dirty of every file: what unmount waits for.
  virtual Task<Status> flush_all() = 0;
};

}  // namespace shoal::client
