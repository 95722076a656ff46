// FuseSession: one mount. It takes requests from the kernel on an EventLoop, runs each as a
// coroutine over PosixApi on that loop and answers from there: no hand-over between threads on this
// side. It holds no file system logic; a FUSE node id is the inode id itself, so there is no table
// of nodes to keep.
//
// Debian 12's libfuse 3.14 never asks for FUSE_PARALLEL_DIROPS, so the kernel would serialise all
// look-ups of one directory, and does not know TMPFILE. Both are mended here by looking at the raw
// requests and replies (fuse_session_custom_io).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/async/sync.h"
#include "base/buffer.h"
#include "base/io/event_loop.h"
#include "base/result.h"
#include "client/posix_api.h"

struct fuse_session;
struct iovec;

namespace shoal::fuse {

struct MountOptions {
  std::string mount_point;
  bool read_only = false;
  bool allow_other = true;  // other users than the one who mounts; needs root or user_allow_other
  std::string source = "shoal";  // what /proc/mounts shows
};

class FuseSession {
 public:
  // Mounts and starts to serve. `fs` and `loop` must outlive the session. `on_end` runs on the loop
  // when the mount is gone, by whatever cause. Call from any thread but the loop's. Errors:
  // kInvalidArgument (no such directory), kNotPermitted, kBusy (a mount is there already).
  static Result<std::unique_ptr<FuseSession>> mount(MountOptions options, client::PosixApi& fs,
                                                    EventLoop& loop, std::function<void()> on_end);
  // unmount() must have been called.
  ~FuseSession();

  // Unmounts (lazily when busy), waits for requests under way and flushes what is dirty.
  // Idempotent; any thread but the loop's. *Durable:* everything written through the mount, once
  // OK.
  Status unmount();

  client::PosixApi& fs() { return fs_; }
  const std::string& mount_point() const { return options_.mount_point; }
  std::uint64_t request_count() const { return request_count_.load(std::memory_order_relaxed); }

  // For the operations: runs `task` as part of this session.
  void spawn(Task<void> task) { scope_.spawn(std::move(task)); }
  // The bytes of a write request that is being dispatched, kept without a copy when that is worth
  // it.
  Buffer take_write_data(const char* data, std::size_t size);

 private:
  FuseSession(MountOptions options, client::PosixApi& fs, EventLoop& loop,
              std::function<void()> on_end);
  Status start();
  void on_readable();
  bool receive_one();
  void dispatch_tmpfile(const std::byte* request, std::size_t size);
  Task<void> run_tmpfile(std::uint64_t unique, proto::CreateFile request);
  void end();
  Task<void> drain();

  static ssize_t read_device(int fd, void* buffer, std::size_t size, void* userdata);
  static ssize_t write_device(int fd, iovec* pieces, int count, void* userdata);

  MountOptions options_;
  client::PosixApi& fs_;
  EventLoop& loop_;
  std::function<void()> on_end_;
  fuse_session* session_ = nullptr;
  int fd_ = -1;
  bool mounted_ = false;
  bool ended_ = false;               // the loop's
  std::uint64_t init_unique_ = 0;    // of the INIT request, whose reply is mended
  std::uint32_t offered_flags_ = 0;  // what the kernel can do
  Buffer receive_;                   // empty: the last request kept it
  TaskScope scope_;
  std::atomic<std::uint64_t> request_count_{0};
};

}  // namespace shoal::fuse
