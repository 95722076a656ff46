#include "fuse/session.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "fuse/limits.h"
#include "fuse/op_table.h"
#include "fuse/reply.h"

namespace shoal::fuse {
namespace {

// FUSE_TMPFILE and FUSE_PARALLEL_DIROPS come from <linux/fuse.h> where it has them; the numbers are
// the protocol's.
constexpr std::uint32_t kOpcodeInit = 26;
constexpr std::uint32_t kOpcodeTmpfile = 51;
constexpr std::uint32_t kFlagParallelDirops = 1U << 18;

// A write request is two headers and then its bytes. The receive buffer is placed so that the bytes
// begin on a page.
constexpr std::size_t kWriteHeaderBytes = sizeof(fuse_in_header) + sizeof(fuse_write_in);
constexpr std::size_t kReceiveOffset = kPageSize - kWriteHeaderBytes;
constexpr std::size_t kReceiveBytes = kPageSize + kMaxWriteBytes + 2 * kPageSize;

void on_init(void*, fuse_conn_info* connection) {
  // Splicing needs two system calls and a pipe for each request; here it is slower than copying.
  connection->want &=
      ~static_cast<unsigned>(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
  connection->want |= connection->capable & FUSE_CAP_ATOMIC_O_TRUNC;
  connection->max_write = kMaxWriteBytes;
  connection->max_background = kMaxBackground;
  connection->congestion_threshold = kMaxBackground * 3 / 4;
  connection->time_gran = 1;
}

fuse_lowlevel_ops make_table() {
  fuse_lowlevel_ops table{};
  table.init = on_init;
  add_name_operations(table);
  add_attribute_operations(table);
  add_file_operations(table);
  add_directory_operations(table);
  add_xattr_operations(table);
  return table;
}

}  // namespace

FuseSession::FuseSession(MountOptions options, client::PosixApi& fs, EventLoop& loop,
                         std::function<void()> on_end)
    : options_(std::move(options)), fs_(fs), loop_(loop), on_end_(std::move(on_end)) {}

FuseSession::~FuseSession() {
  CHECK(!mounted_);
  if (session_ != nullptr) fuse_session_destroy(session_);
}

Result<std::unique_ptr<FuseSession>> FuseSession::mount(MountOptions options, client::PosixApi& fs,
                                                        EventLoop& loop,
                                                        std::function<void()> on_end) {
  struct stat st {};
  if (stat(options.mount_point.c_str(), &st) != 0) {
    return ErrnoError(errno, "mount point " + options.mount_point);
  }
  if (!S_ISDIR(st.st_mode)) {
    return NotDirectoryError("mount point " + options.mount_point + " is not a directory");
  }
  std::unique_ptr<FuseSession> session(
      new FuseSession(std::move(options), fs, loop, std::move(on_end)));
  RETURN_IF_ERROR(session->start());
  return session;
}

Status FuseSession::start() {
  std::string flags = "fsname=" + options_.source + ",subtype=shoal,default_permissions";
  if (options_.allow_other) flags += ",allow_other";
  if (options_.read_only) flags += ",ro";
  if (geteuid() == 0) flags += ",dev,suid";
  std::array<const char*, 3> arguments{"shoal", "-o", flags.c_str()};
  fuse_args args =
      FUSE_ARGS_INIT(static_cast<int>(arguments.size()), const_cast<char**>(arguments.data()));
  static const fuse_lowlevel_ops table = make_table();
  session_ = fuse_session_new(&args, &table, sizeof table, this);
  fuse_opt_free_args(&args);
  if (session_ == nullptr) return InternalError("libfuse refused the mount options " + flags);
  if (fuse_session_mount(session_, options_.mount_point.c_str()) != 0) {
    return NotPermittedError(
        "mounting on " + options_.mount_point +
        " failed; see the message above, and check that /dev/fuse may be opened");
  }
  mounted_ = true;
  fd_ = fuse_session_fd(session_);
  fuse_custom_io io{};
  io.read = read_device;
  io.writev = write_device;
  if (fuse_session_custom_io(session_, &io, fd_) != 0)
    return InternalError("libfuse refused our device functions");
  if (fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK) != 0)
    return ErrnoError(errno, "/dev/fuse");
  struct Watch {
    static Task<Status> run(FuseSession* self) {
      co_return self->loop_.watch(self->fd_, EPOLLIN,
                                  [self](std::uint32_t) { self->on_readable(); });
    }
  };
  return sync_wait(loop_, Watch::run(this));
}

ssize_t FuseSession::read_device(int fd, void* buffer, std::size_t size, void* userdata) {
  auto* self = static_cast<FuseSession*>(userdata);
  const ssize_t n = ::read(fd, buffer, size);
  if (n < static_cast<ssize_t>(sizeof(fuse_in_header) + sizeof(fuse_init_in))) return n;
  fuse_in_header header{};
  std::memcpy(&header, buffer, sizeof header);
  if (header.opcode == kOpcodeInit) {
    fuse_init_in init{};
    std::memcpy(&init, static_cast<std::byte*>(buffer) + sizeof header, sizeof init);
    self->init_unique_ = header.unique;
    self->offered_flags_ = init.flags;
  }
  return n;
}

ssize_t FuseSession::write_device(int fd, iovec* pieces, int count, void* userdata) {
  auto* self = static_cast<FuseSession*>(userdata);
  if (self->init_unique_ != 0 && count == 2) {
    fuse_out_header header{};
    std::memcpy(&header, pieces[0].iov_base, sizeof header);
    if (header.unique == self->init_unique_ && header.error == 0 &&
        pieces[1].iov_len >= offsetof(fuse_init_out, flags) + sizeof(std::uint32_t)) {
      fuse_init_out init{};
      std::memcpy(&init, pieces[1].iov_base, std::min(sizeof init, pieces[1].iov_len));
      init.flags |= self->offered_flags_ & kFlagParallelDirops;
      std::memcpy(pieces[1].iov_base, &init, std::min(sizeof init, pieces[1].iov_len));
      self->init_unique_ = 0;
    }
  }
  return ::writev(fd, pieces, count);
}

void FuseSession::on_readable() {
  for (int i = 0; i < kRequestsPerTurn; ++i) {
    if (!receive_one()) return;
  }
}

bool FuseSession::receive_one() {
  if (receive_.empty()) receive_ = Buffer::allocate(kReceiveBytes);
  fuse_buf request{};
  request.mem = receive_.mutable_data() + kReceiveOffset;
  const int n = fuse_session_receive_buf(session_, &request);
  if (n == -EINTR) return true;
  if (n == -EAGAIN) return false;
  if (n <= 0 || fuse_session_exited(session_)) {
    end();
    return false;
  }
  request_count_.fetch_add(1, std::memory_order_relaxed);
  fuse_in_header header{};
  std::memcpy(&header, request.mem, sizeof header);
  if (header.opcode == kOpcodeTmpfile) {
    dispatch_tmpfile(static_cast<const std::byte*>(request.mem), static_cast<std::size_t>(n));
  } else {
    fuse_session_process_buf(session_, &request);
  }
  return true;
}

Buffer FuseSession::take_write_data(const char* data, std::size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  if (size < kKeepBufferBytes || bytes != receive_.data() + kPageSize) {
    return Buffer::copy_of(std::span(bytes, size));
  }
  Buffer kept = receive_.slice(kPageSize, size);
  receive_ = Buffer();
  return kept;
}

// O_TMPFILE: an inode without a name, open from the start. Laid out like CREATE, which libfuse 3.14
// does not map.
void FuseSession::dispatch_tmpfile(const std::byte* request, std::size_t size) {
  fuse_in_header header{};
  std::memcpy(&header, request, sizeof header);
  fuse_create_in create{};
  if (size < sizeof header + sizeof create) return;  // the kernel does not send such
  std::memcpy(&create, request + sizeof header, sizeof create);
  proto::CreateFile file;
  file.set_parent(header.nodeid);
  file.set_type(proto::REGULAR);
  file.set_mode(create.mode & 07777);
  file.set_unlinked(true);
  file.mutable_owner()->set_uid(header.uid);
  file.mutable_owner()->set_gid(header.gid);
  spawn(run_tmpfile(header.unique, std::move(file)));
}

Task<void> FuseSession::run_tmpfile(std::uint64_t unique, proto::CreateFile request) {
  auto opened = co_await fs_.create_and_open(std::move(request), false);
  fuse_out_header header{};
  header.unique = unique;
  header.len = sizeof header;
  fuse_entry_out entry{};
  fuse_open_out open{};
  std::array<iovec, 3> pieces{
      {{&header, sizeof header}, {&entry, sizeof entry}, {&open, sizeof open}}};
  int count = 1;
  if (!opened.ok()) {
    header.error = -status_code_to_errno(opened.status().code());
  } else {
    const struct stat st = to_stat(opened->attributes);
    entry.nodeid = st.st_ino;
    entry.attr.ino = st.st_ino;
    entry.attr.mode = st.st_mode;
    entry.attr.nlink = static_cast<std::uint32_t>(st.st_nlink);
    entry.attr.uid = st.st_uid;
    entry.attr.gid = st.st_gid;
    entry.attr.blksize = kPageSize;
    entry.attr.atime = static_cast<std::uint64_t>(st.st_atim.tv_sec);
    entry.attr.mtime = static_cast<std::uint64_t>(st.st_mtim.tv_sec);
    entry.attr.ctime = static_cast<std::uint64_t>(st.st_ctim.tv_sec);
    entry.attr.atimensec = static_cast<std::uint32_t>(st.st_atim.tv_nsec);
    entry.attr.mtimensec = static_cast<std::uint32_t>(st.st_mtim.tv_nsec);
    entry.attr.ctimensec = static_cast<std::uint32_t>(st.st_ctim.tv_nsec);
    open.fh = reinterpret_cast<std::uint64_t>(new client::FileHandlePtr(opened->handle));
    header.len = sizeof header + sizeof entry + sizeof open;
    count = 3;
  }
  if (::writev(fd_, pieces.data(), count) < 0 && open.fh != 0) {
    // The caller is gone (interrupted): nobody will release the handle.
    std::unique_ptr<client::FileHandlePtr> handle(
        reinterpret_cast<client::FileHandlePtr*>(open.fh));
    (void)co_await fs_.release(*handle);
  }
}

void FuseSession::end() {
  if (std::exchange(ended_, true)) return;
  loop_.unwatch(fd_);
  if (on_end_) on_end_();
}

Task<void> FuseSession::drain() {
  end();
  co_await scope_.join();
}

Status FuseSession::unmount() {
  if (!std::exchange(mounted_, false)) return OkStatus();
  // Written data first, while the mount can still answer; then again for what came in between.
  Status flushed = sync_wait(loop_, fs_.flush_all());
  // No new requests, answers to those under way, and only then the device goes.
  sync_wait(loop_, drain());
  fuse_session_exit(session_);
  fuse_session_unmount(session_);
  if (flushed.ok()) flushed = sync_wait(loop_, fs_.flush_all());
  return flushed;
}

}  // namespace shoal::fuse
