// Files and raw devices as BlockDevices on an EventLoop: O_DIRECT through one io_uring per loop, or
// through a few threads where the kernel refuses io_uring (as default containers do). Requests made
// during one turn of the loop go to the kernel with one system call; completions are found without
// one.
#pragma once

#include <memory>
#include <string>

#include "base/async/sync.h"
#include "base/io/block_device.h"
#include "base/io/blocking_pool.h"
#include "base/io/event_loop.h"

struct iovec;

namespace shoal {

enum class IoBackend {
  kAuto,   // io_uring, or threads if it is refused (logged)
  kUring,  // io_uring or an error
  kThreads,
};

// The loop's way to the kernel. Made and destroyed outside the loop, before it starts or after it
// has ended; used on it alone. Everything opened through it is closed first.
class IoContext {
 public:
  static Result<std::unique_ptr<IoContext>> create(EventLoop& loop,
                                                   IoBackend backend = IoBackend::kAuto);
  virtual ~IoContext();

  enum class Operation { kRead, kWrite, kWriteDurable, kFlush };
  struct Request {
    Operation operation;
    int fd;
    const iovec* pieces;
    int piece_count;
    std::uint64_t offset;
  };
  // Bytes moved, or -errno. What the request points to stays until it returns.
  virtual Task<int> run(Request request) = 0;
  virtual bool uses_uring() const = 0;

  BlockingPool& pool() { return pool_; }
  EventLoop& loop() { return loop_; }

 protected:
  explicit IoContext(EventLoop& loop) : loop_(loop), pool_("shoal-files", 2) {}
  EventLoop& loop_;
  ThreadPool pool_;
};

// Calls `open` again for a few seconds while it says kBusy: the one who holds the directory or
// device may be a process that was killed just now.
template <typename Open>
auto open_when_free(Executor& executor, Open open) -> std::invoke_result_t<Open&> {
  constexpr std::chrono::seconds kPatience{5};
  constexpr std::chrono::milliseconds kPause{50};
  const MonotonicTime end = executor.now() + kPatience;
  while (true) {
    auto opened = co_await open();
    if (opened.status().code() != StatusCode::kBusy || executor.now() > end) co_return opened;
    co_await sleep_for(kPause);
  }
}

// An open file or block device of `size_bytes`, which it closes.
std::unique_ptr<BlockDevice> make_file_device(IoContext& io, int fd, std::string name,
                                              std::uint64_t size_bytes);

// A directory of the file system whose files act as block devices.
class FileDirectory final : public BlockDirectory {
 public:
  // Takes the directory for this object alone until it is destroyed. With `make`, makes it if it is
  // not there. Errors: as mkdir(2) and open(2); kBusy when another one holds it.
  static Result<std::unique_ptr<FileDirectory>> open(IoContext& io, std::string path,
                                                     bool make = true);
  // The same, with open_when_free's patience.
  static Task<Result<std::unique_ptr<FileDirectory>>> open_when_free(IoContext& io,
                                                                     std::string path, bool make);
  ~FileDirectory() override;

  const std::string& path() const override { return path_; }
  Task<Result<std::vector<std::string>>> list() override;
  Task<Result<std::unique_ptr<BlockDevice>>> open(std::string name) override;
  Task<Result<std::unique_ptr<BlockDevice>>> create(std::string name, std::uint64_t size_bytes,
                                                    bool prewrite) override;
  bool prewriting_helps() const override { return true; }
  Task<Status> remove(std::string name) override;
  Task<Status> rename(std::string from, std::string to) override;
  Task<Status> check_present() override;
  Result<Space> space() override;

 private:
  FileDirectory(IoContext& io, std::string path, int lock_fd)
      : io_(io), path_(std::move(path)), lock_fd_(lock_fd) {}
  Task<Result<std::unique_ptr<BlockDevice>>> open_file(std::string full_name);
  IoContext& io_;
  const std::string path_;
  const int lock_fd_;
};

}  // namespace shoal
