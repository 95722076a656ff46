#include "fuse/reply.h"

#include <cerrno>

#include "base/log.h"

namespace shoal::fuse {
namespace {

// Another client may change anything at any time and nothing tells this one yet, so the kernel asks
// again each time.
constexpr double kNoTimeout = 0.0;

bool is_store_trouble(StatusCode code) {
  switch (code) {
    case StatusCode::kUnavailable:
    case StatusCode::kDeadlineExceeded:
    case StatusCode::kCorruption:
    case StatusCode::kIoError:
    case StatusCode::kFenced:
    case StatusCode::kInternal: return true;
    default: return false;
  }
}

timespec to_timespec(std::int64_t ns) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  std::int64_t seconds = ns / kSecond;
  std::int64_t rest = ns % kSecond;
  if (rest < 0) {
    rest += kSecond;
    --seconds;
  }
  return {seconds, rest};
}

}  // namespace

void reply_status(fuse_req_t request, const Status& status) {
  if (is_store_trouble(status.code())) log_error("fuse", "operation failed", {{"status", status}});
  fuse_reply_err(request, status.ok() ? 0 : status_code_to_errno(status.code()));
}

proto::FileType type_of_mode(mode_t mode) {
  switch (mode & S_IFMT) {
    case 0:
    case S_IFREG: return proto::REGULAR;
    case S_IFDIR: return proto::DIRECTORY;
    case S_IFLNK: return proto::SYMLINK;
    case S_IFIFO: return proto::FIFO;
    case S_IFSOCK: return proto::SOCKET;
    case S_IFCHR: return proto::CHARACTER_DEVICE;
    case S_IFBLK: return proto::BLOCK_DEVICE;
    default: return proto::FILE_TYPE_UNKNOWN;
  }
}

mode_t mode_of_type(proto::FileType type) {
  switch (type) {
    case proto::DIRECTORY: return S_IFDIR;
    case proto::SYMLINK: return S_IFLNK;
    case proto::FIFO: return S_IFIFO;
    case proto::SOCKET: return S_IFSOCK;
    case proto::CHARACTER_DEVICE: return S_IFCHR;
    case proto::BLOCK_DEVICE: return S_IFBLK;
    default: return S_IFREG;
  }
}

struct stat to_stat(const client::Attributes& attributes) {
  struct stat st {};
  st.st_ino = attributes.inode();
  st.st_mode = mode_of_type(attributes.type()) | (attributes.mode() & 07777);
  st.st_nlink = attributes.link_count();
  st.st_uid = attributes.uid();
  st.st_gid = attributes.gid();
  st.st_rdev = attributes.device();
  st.st_size = static_cast<off_t>(attributes.size());
  st.st_blksize = kPageSize;
  st.st_blocks = static_cast<blkcnt_t>((attributes.allocated_bytes() + 511) / 512);
  st.st_atim = to_timespec(attributes.atime_ns());
  st.st_mtim = to_timespec(attributes.mtime_ns());
  st.st_ctim = to_timespec(attributes.ctime_ns());
  return st;
}

fuse_entry_param to_entry(const client::Attributes& attributes) {
  fuse_entry_param entry{};
  entry.ino = attributes.inode();
  entry.attr = to_stat(attributes);
  entry.attr_timeout = kNoTimeout;
  entry.entry_timeout = kNoTimeout;
  return entry;
}

void reply_attributes(fuse_req_t request, const Result<client::Attributes>& result) {
  if (!result.ok()) return reply_status(request, result.status());
  const struct stat st = to_stat(*result);
  fuse_reply_attr(request, &st, kNoTimeout);
}

void reply_entry(fuse_req_t request, const Result<client::Attributes>& result) {
  if (!result.ok()) return reply_status(request, result.status());
  const fuse_entry_param entry = to_entry(*result);
  fuse_reply_entry(request, &entry);
}

}  // namespace shoal::fuse
