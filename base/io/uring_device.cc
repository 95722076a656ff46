#include "base/io/uring_device.h"

#include <dirent.h>
#include <fcntl.h>
#include <liburing.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>

#include "base/async/sync.h"
#include "base/check.h"
#include "base/file_io.h"
#include "base/log.h"

namespace shoal {
namespace {

constexpr unsigned kRingEntries = 1024;
constexpr int kFallbackThreads = 8;
// How often in a row the kernel may ask to try again.
constexpr int kMaxTries = 1000;
// Small: while a large write is under way the device serves nobody else.
constexpr std::size_t kPrewriteBytes = 64 << 10;

class UringIo final : public IoContext {
 public:
  explicit UringIo(EventLoop& loop) : IoContext(loop) {}

  Status start() {
    io_uring_params params{};
    params.flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_CQSIZE;
    params.cq_entries = 4 * kRingEntries;
    int err = io_uring_queue_init_params(kRingEntries, &ring_, &params);
    if (err == -EINVAL) {  // a kernel before 5.19
      params = {};
      err = io_uring_queue_init_params(kRingEntries, &ring_, &params);
    }
    if (err != 0) return ErrnoError(-err, "io_uring_setup");
    ring_made_ = true;
    event_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event_fd_ < 0) return ErrnoError(errno, "eventfd for io_uring");
    err = io_uring_register_eventfd(&ring_, event_fd_);
    if (err != 0) return ErrnoError(-err, "io_uring_register_eventfd");
    // Edge-triggered: each completion wakes the loop once and nothing has to be read; the poller
    // does the work.
    RETURN_IF_ERROR(loop_.watch(event_fd_, EPOLLIN | EPOLLET, [](std::uint32_t) {}));
    loop_.add_poller(this, [this] { return poll(); });
    return OkStatus();
  }

  ~UringIo() override {
    CHECK(in_flight_ == 0);
    loop_.remove_poller(this);
    if (event_fd_ >= 0) {
      loop_.unwatch(event_fd_);
      close(event_fd_);
    }
    if (ring_made_) io_uring_queue_exit(&ring_);
  }

  bool uses_uring() const override { return true; }

  Task<int> run(Request request) override {
    Awaiter awaiter{*this, request, nullptr, 0};
    co_return co_await awaiter;
  }

 private:
  struct Awaiter {
    UringIo& io;
    Request request;
    std::coroutine_handle<> handle;
    int result;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> self) {
      handle = self;
      io.queue(this);
    }
    int await_resume() const noexcept { return result; }
  };

  void queue(Awaiter* awaiter) {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    if (entry == nullptr) {
      submit();
      entry = io_uring_get_sqe(&ring_);
      CHECK(entry != nullptr);  // submit() empties the queue
    }
    const Request& r = awaiter->request;
    const auto count = static_cast<unsigned>(r.piece_count);
    switch (r.operation) {
      case Operation::kRead: io_uring_prep_readv(entry, r.fd, r.pieces, count, r.offset); break;
      case Operation::kWrite: io_uring_prep_writev(entry, r.fd, r.pieces, count, r.offset); break;
      case Operation::kWriteDurable:
        io_uring_prep_writev2(entry, r.fd, r.pieces, count, r.offset, RWF_DSYNC);
        break;
      case Operation::kFlush: io_uring_prep_fsync(entry, r.fd, IORING_FSYNC_DATASYNC); break;
    }
    io_uring_sqe_set_data(entry, awaiter);
    ++queued_;
    ++in_flight_;
  }

  void submit() {
    while (queued_ > 0) {
      const int n = io_uring_submit(&ring_);
      if (n >= 0) {
        queued_ -= std::min(queued_, static_cast<unsigned>(n));
        if (n == 0) return;
      } else if (n != -EINTR && n != -EAGAIN && n != -EBUSY) {
        log_error("io", "io_uring_submit failed", {{"errno", -n}});
        return;
      } else if (n != -EINTR) {
        return;  // the completion queue is full: reap first, then again
      }
    }
  }

  bool poll() {
    bool worked = queued_ > 0;
    if (queued_ > 0) submit();
    io_uring_cqe* entry = nullptr;
    while (io_uring_peek_cqe(&ring_, &entry) == 0) {
      auto* awaiter = static_cast<Awaiter*>(io_uring_cqe_get_data(entry));
      awaiter->result = entry->res;
      io_uring_cqe_seen(&ring_, entry);
      --in_flight_;
      awaiter->handle.resume();
      worked = true;
    }
    // What the resumed coroutines asked for goes out in the same turn.
    if (queued_ > 0) submit();
    return worked;
  }

  io_uring ring_{};
  bool ring_made_ = false;
  int event_fd_ = -1;
  unsigned queued_ = 0;
  unsigned in_flight_ = 0;
};

class ThreadIo final : public IoContext {
 public:
  explicit ThreadIo(EventLoop& loop) : IoContext(loop), io_pool_("shoal-io", kFallbackThreads) {}
  bool uses_uring() const override { return false; }
  Task<int> run(Request request) override {
    co_return co_await run_blocking(io_pool_, [request] { return perform(request); });
  }

 private:
  static int perform(const Request& r) {
    while (true) {
      ssize_t n = 0;
      switch (r.operation) {
        case Operation::kRead:
          n = preadv(r.fd, r.pieces, r.piece_count, static_cast<off_t>(r.offset));
          break;
        case Operation::kWrite:
          n = pwritev(r.fd, r.pieces, r.piece_count, static_cast<off_t>(r.offset));
          break;
        case Operation::kWriteDurable:
          n = pwritev2(r.fd, r.pieces, r.piece_count, static_cast<off_t>(r.offset), RWF_DSYNC);
          break;
        case Operation::kFlush: n = fdatasync(r.fd); break;
      }
      if (n >= 0) return static_cast<int>(n);
      if (errno != EINTR) return -errno;
    }
  }
  ThreadPool io_pool_;
};

// One open file. A write or flush that fails leaves its content unknown: the file takes no more
// writes.
class FileDevice final : public BlockDevice {
 public:
  // `poisoned`: why it takes no writes from the beginning, unless OK.
  FileDevice(IoContext& io, int fd, std::string name, std::uint64_t size_bytes,
             bool was_written = false, Status poisoned = OkStatus())
      : io_(io),
        fd_(fd),
        name_(std::move(name)),
        size_bytes_(size_bytes),
        was_written_(was_written),
        poisoned_(std::move(poisoned)) {}
  ~FileDevice() override { close(fd_); }

  std::uint64_t size_bytes() const override { return size_bytes_; }
  const std::string& name() const override { return name_; }
  bool was_written() const override { return was_written_; }
  std::uint64_t flush_count() const override { return flush_count_; }

  Task<Status> write(std::uint64_t offset, BufferList pieces, WriteMode mode) override {
    const std::size_t total = total_size(pieces);
    CO_RETURN_IF_ERROR(check_range(offset, total));
    if (!poisoned_.ok()) co_return poisoned_;
    if (pieces.size() > IOV_MAX) {
      Buffer whole = flatten(pieces);
      pieces.assign(1, std::move(whole));
    }
    std::vector<iovec> vectors;
    vectors.reserve(pieces.size());
    for (const Buffer& piece : pieces) {
      if (!piece.empty()) vectors.push_back({const_cast<std::byte*>(piece.data()), piece.size()});
    }
    if (mode == WriteMode::kDurable) ++flush_count_;
    const auto operation = mode == WriteMode::kDurable ? IoContext::Operation::kWriteDurable
                                                       : IoContext::Operation::kWrite;
    std::size_t done = 0;
    std::size_t first = 0;
    int tries = 0;
    while (done < total) {
      const IoContext::Request request{operation, fd_, vectors.data() + first,
                                       static_cast<int>(vectors.size() - first), offset + done};
      const int n = co_await io_.run(request);
      if ((n == -EINTR || n == -EAGAIN) && ++tries < kMaxTries) continue;
      tries = 0;
      if (n <= 0) co_return poison(n == 0 ? EIO : -n, "writing");
      done += static_cast<std::size_t>(n);
      skip(vectors, &first, static_cast<std::size_t>(n));
    }
    co_return OkStatus();
  }

  Task<Result<Buffer>> read(std::uint64_t offset, std::size_t length) override {
    CO_RETURN_IF_ERROR(check_range(offset, length));
    Buffer buffer = Buffer::allocate(length);
    std::size_t done = 0;
    int tries = 0;
    while (done < length) {
      const iovec piece{buffer.mutable_data() + done, length - done};
      const IoContext::Request request{IoContext::Operation::kRead, fd_, &piece, 1, offset + done};
      const int n = co_await io_.run(request);
      if ((n == -EINTR || n == -EAGAIN) && ++tries < kMaxTries) continue;
      tries = 0;
      if (n < 0) co_return ErrnoError(-n, "reading " + where(offset));
      if (n == 0)
        co_return IoError("reading " + where(offset) + ": the file is shorter than it was");
      done += static_cast<std::size_t>(n);
    }
    co_return buffer;
  }

  Task<Status> flush() override {
    if (!poisoned_.ok()) co_return poisoned_;
    ++flush_count_;
    const IoContext::Request request{IoContext::Operation::kFlush, fd_, nullptr, 0, 0};
    const int n = co_await io_.run(request);
    if (n < 0) co_return poison(-n, "flushing");
    co_return OkStatus();
  }

 private:
  Status check_range(std::uint64_t offset, std::size_t length) const {
    if (offset % kPageSize != 0 || length % kPageSize != 0 || length == 0) {
      return InvalidArgumentError(where(offset) + ": " + std::to_string(length) +
                                  " bytes are not whole pages");
    }
    if (offset > size_bytes_ || length > size_bytes_ - offset) {
      return OutOfRangeError(where(offset) + ": " + std::to_string(length) +
                             " bytes end behind the device");
    }
    return OkStatus();
  }
  std::string where(std::uint64_t offset) const {
    return name_ + " at byte " + std::to_string(offset);
  }
  Status poison(int err, std::string_view what) {
    if (poisoned_.ok()) poisoned_ = ErrnoError(err, std::string(what) + " " + name_);
    return poisoned_;
  }
  static void skip(std::vector<iovec>& vectors, std::size_t* first, std::size_t n) {
    while (n > 0) {
      iovec& piece = vectors[*first];
      const std::size_t step = std::min(n, piece.iov_len);
      piece.iov_base = static_cast<std::byte*>(piece.iov_base) + step;
      piece.iov_len -= step;
      n -= step;
      if (piece.iov_len == 0) ++*first;
    }
  }

  IoContext& io_;
  const int fd_;
  const std::string name_;
  const std::uint64_t size_bytes_;
  const bool was_written_;
  std::uint64_t flush_count_ = 0;
  Status poisoned_;
};

// A file system without O_DIRECT (tmpfs) still serves; the page cache is then between us and the
// disk.
int open_direct(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_DIRECT | O_CLOEXEC, 0640);
  if (fd >= 0 || errno != EINVAL) return fd;
  return ::open(path.c_str(), flags | O_CLOEXEC, 0640);
}

Status write_zeros(int fd, std::uint64_t size_bytes, const std::string& path) {
  const Buffer zeros = Buffer::zeros(std::min<std::uint64_t>(kPrewriteBytes, size_bytes));
  for (std::uint64_t at = 0; at < size_bytes;) {
    const std::size_t n = std::min<std::uint64_t>(zeros.size(), size_bytes - at);
    const ssize_t written = pwrite(fd, zeros.data(), n, static_cast<off_t>(at));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return ErrnoError(written == 0 ? EIO : errno, "prewriting " + path);
    at += static_cast<std::uint64_t>(written);
  }
  return OkStatus();
}

Status make_file(const std::string& path, std::uint64_t size_bytes, bool prewrite) {
  const int fd = open_direct(path, O_RDWR | O_CREAT | O_EXCL);
  if (fd < 0) return ErrnoError(errno, "creating " + path);
  Status made;
  if (const int err = posix_fallocate(fd, 0, static_cast<off_t>(size_bytes)); err != 0) {
    made = ErrnoError(err, "reserving " + std::to_string(size_bytes) + " bytes for " + path);
  }
  if (made.ok() && prewrite) made = write_zeros(fd, size_bytes, path);
  if (made.ok() && fsync(fd) != 0) made = ErrnoError(errno, "fsync of " + path);
  close(fd);
  if (!made.ok()) unlink(path.c_str());
  return made;
}

}  // namespace

IoContext::~IoContext() = default;

Result<std::unique_ptr<IoContext>> IoContext::create(EventLoop& loop, IoBackend backend) {
  if (backend != IoBackend::kThreads) {
    auto uring = std::make_unique<UringIo>(loop);
    const Status started = uring->start();
    if (started.ok()) return std::unique_ptr<IoContext>(std::move(uring));
    if (backend == IoBackend::kUring) return started;
    static std::atomic<bool> logged{false};
    if (!logged.exchange(true))
      log_warning("io", "io_uring is refused, threads serve instead", {{"cause", started}});
  }
  return std::unique_ptr<IoContext>(std::make_unique<ThreadIo>(loop));
}

std::unique_ptr<BlockDevice> make_file_device(IoContext& io, int fd, std::string name,
                                              std::uint64_t size_bytes) {
  return std::make_unique<FileDevice>(io, fd, std::move(name), size_bytes);
}

Result<std::unique_ptr<FileDirectory>> FileDirectory::open(IoContext& io, std::string path,
                                                           bool make) {
  if (make && mkdir(path.c_str(), 0750) != 0 && errno != EEXIST)
    return ErrnoError(errno, "directory " + path);
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, "directory " + path);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int err = errno;
    close(fd);
    return err == EWOULDBLOCK ? BusyError(path + " is in use by another process")
                              : ErrnoError(err, "lock of " + path);
  }
  return std::unique_ptr<FileDirectory>(new FileDirectory(io, std::move(path), fd));
}

FileDirectory::~FileDirectory() { close(lock_fd_); }

Task<Result<std::unique_ptr<FileDirectory>>> FileDirectory::open_when_free(IoContext& io,
                                                                           std::string path,
                                                                           bool make) {
  struct Open {
    static Task<Result<std::unique_ptr<FileDirectory>>> once(IoContext* io, std::string path,
                                                             bool make) {
      co_return open(*io, std::move(path), make);
    }
  };
  co_return co_await shoal::open_when_free(io.loop(), [&] { return Open::once(&io, path, make); });
}

Task<Status> FileDirectory::check_present() {
  co_return co_await run_blocking(io_.pool(), [this]() -> Status {
    struct stat opened {};
    struct stat there {};
    if (fstat(lock_fd_, &opened) != 0 || stat(path_.c_str(), &there) != 0)
      return ErrnoError(errno, "directory " + path_);
    if (opened.st_dev != there.st_dev || opened.st_ino != there.st_ino)
      return IoError("directory " + path_ + " was replaced by another one");
    return OkStatus();
  });
}

Task<Result<std::vector<std::string>>> FileDirectory::list() {
  co_return co_await run_blocking(io_.pool(), [this]() -> Result<std::vector<std::string>> {
    DIR* directory = opendir(path_.c_str());
    if (directory == nullptr) return ErrnoError(errno, "directory " + path_);
    std::vector<std::string> names;
    while (const dirent* entry = readdir(directory)) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(name);
    }
    closedir(directory);
    std::sort(names.begin(), names.end());
    return names;
  });
}

Task<Result<std::unique_ptr<BlockDevice>>> FileDirectory::open_file(std::string full_name) {
  struct File {
    int fd = -1;
    std::uint64_t size_bytes = 0;
    bool was_written = false;
    Status poisoned;
  };
  auto opened = co_await run_blocking(io_.pool(), [&full_name]() -> Result<File> {
    Status poisoned;
    int fd = open_direct(full_name, O_RDWR);
    if (fd < 0 && errno == EROFS) {  // what is there can still be read
      poisoned = ErrnoError(EROFS, "writing " + full_name);
      fd = open_direct(full_name, O_RDONLY);
    }
    if (fd < 0) return ErrnoError(errno, "opening " + full_name);
    struct stat st {};
    if (fstat(fd, &st) != 0) {
      const int err = errno;
      close(fd);
      return ErrnoError(err, "stat of " + full_name);
    }
    // Space that is merely reserved counts as a hole.
    const bool was_written = lseek(fd, 0, SEEK_HOLE) >= st.st_size;
    return File{fd, round_down(static_cast<std::uint64_t>(st.st_size), kPageSize), was_written,
                poisoned};
  });
  if (!opened.ok()) co_return opened.status();
  co_return std::unique_ptr<BlockDevice>(std::make_unique<FileDevice>(
      io_, opened->fd, full_name, opened->size_bytes, opened->was_written, opened->poisoned));
}

Task<Result<std::unique_ptr<BlockDevice>>> FileDirectory::open(std::string name) {
  co_return co_await open_file(path_ + "/" + name);
}

Task<Result<std::unique_ptr<BlockDevice>>> FileDirectory::create(std::string name,
                                                                 std::uint64_t size_bytes,
                                                                 bool prewrite) {
  const std::string full_name = path_ + "/" + name;
  const Status made = co_await run_blocking(io_.pool(), [&]() -> Status {
    RETURN_IF_ERROR(make_file(full_name, size_bytes, prewrite));
    return sync_directory(path_);
  });
  if (!made.ok()) co_return made;
  co_return co_await open_file(full_name);
}

Task<Status> FileDirectory::remove(std::string name) {
  co_return co_await run_blocking(io_.pool(), [this, &name]() -> Status {
    const std::string full_name = path_ + "/" + name;
    if (unlink(full_name.c_str()) != 0 && errno != ENOENT)
      return ErrnoError(errno, "removing " + full_name);
    return sync_directory(path_);
  });
}

Task<Status> FileDirectory::rename(std::string from, std::string to) {
  co_return co_await run_blocking(io_.pool(), [this, &from, &to]() -> Status {
    const std::string source = path_ + "/" + from;
    if (::rename(source.c_str(), (path_ + "/" + to).c_str()) != 0)
      return ErrnoError(errno, "renaming " + source);
    return sync_directory(path_);
  });
}

Result<BlockDirectory::Space> FileDirectory::space() {
  struct statvfs st {};
  if (statvfs(path_.c_str(), &st) != 0) return ErrnoError(errno, "space of " + path_);
  return Space{st.f_blocks * st.f_frsize, st.f_bavail * st.f_frsize};
}

}  // namespace shoal
