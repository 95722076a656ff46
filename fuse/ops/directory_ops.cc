// Reading directories. The kernel's offsets are numbers, the store's markers are opaque bytes: an
// open directory keeps the page it is in and the marker before each page it has passed, so that a
// seek back finds its way.
#include <cerrno>
#include <memory>
#include <vector>

#include "fuse/limits.h"
#include "fuse/reply.h"

namespace shoal::fuse {
namespace {

// Offsets 0 and 1 are "." and ".."; entry i of page p is at 2 + p * kDirectoryPage + i. An entry's
// own offset is what the kernel passes to go on behind it.
class OpenDirectory {
 public:
  explicit OpenDirectory(InodeId inode) : inode_(inode) { markers_.emplace_back(); }

  InodeId inode() const { return inode_; }
  AsyncMutex& mutex() { return mutex_; }

  // Starts from the beginning: what changed since is seen.
  void rewind() {
    markers_.assign(1, std::string());
    loaded_ = false;
  }

  // The entry at `index` (0 is the first after ".."), or null at the end.
  Task<Result<const proto::DirectoryEntry*>> entry(client::PosixApi* fs, std::uint64_t index) {
    const std::size_t page = index / kDirectoryPage;
    if (page >= markers_.size()) co_return nullptr;
    if (!loaded_ || page != page_) {
      auto reply = co_await fs->read_directory(inode_, markers_[page], kDirectoryPage);
      if (!reply.ok()) co_return reply.status();
      content_ = std::move(*reply);
      page_ = page;
      loaded_ = true;
      const bool full = static_cast<std::uint32_t>(content_.entries_size()) == kDirectoryPage;
      if (content_.more() && !full)
        co_return CorruptionError("a short page of a directory that goes on");
      if (content_.more() && markers_.size() == page + 1) {
        markers_.push_back(content_.entries(content_.entries_size() - 1).cookie());
      }
    }
    const auto in_page = static_cast<int>(index % kDirectoryPage);
    if (in_page >= content_.entries_size()) co_return nullptr;
    co_return &content_.entries(in_page);
  }

 private:
  const InodeId inode_;
  AsyncMutex mutex_;
  std::vector<std::string> markers_;  // before page i
  proto::ReadDirectoryReply content_;
  std::size_t page_ = 0;
  bool loaded_ = false;
};

using OpenDirectoryPtr = std::shared_ptr<OpenDirectory>;

OpenDirectoryPtr directory_of(const fuse_file_info* info) {
  return *reinterpret_cast<OpenDirectoryPtr*>(info->fh);
}

// Fills one reply buffer with entries.
class ReplyBuffer {
 public:
  ReplyBuffer(fuse_req_t request, std::size_t size, bool plus)
      : request_(request), bytes_(size), plus_(plus) {}

  // False when it does not fit any more.
  bool add(const std::string& name, const client::Attributes& attributes, off_t next,
           bool with_entry) {
    char* at = bytes_.data() + used_;
    const std::size_t left = bytes_.size() - used_;
    std::size_t need = 0;
    if (plus_) {
      fuse_entry_param entry = to_entry(attributes);
      if (!with_entry) entry.ino = 0;  // "." and ".." are not looked up
      need = fuse_add_direntry_plus(request_, at, left, name.c_str(), &entry, next);
    } else {
      const struct stat st = to_stat(attributes);
      need = fuse_add_direntry(request_, at, left, name.c_str(), &st, next);
    }
    if (need > left) return false;
    used_ += need;
    return true;
  }
  void send() const { fuse_reply_buf(request_, bytes_.data(), used_); }

 private:
  fuse_req_t request_;
  std::vector<char> bytes_;
  std::size_t used_ = 0;
  bool plus_;
};

Task<void> read_directory(FuseSession* session, fuse_req_t request, OpenDirectoryPtr directory,
                          std::size_t size, std::uint64_t offset, bool plus) {
  auto guard = co_await directory->mutex().lock();
  ReplyBuffer reply(request, size, plus);
  if (offset == 0) directory->rewind();
  for (std::uint64_t at = offset;; ++at) {
    const auto next = static_cast<off_t>(at + 1);
    if (at < 2) {
      client::Attributes self;
      self.set_inode(directory->inode().value());
      self.set_type(proto::DIRECTORY);
      if (!reply.add(at == 0 ? "." : "..", self, next, false)) break;
      continue;
    }
    auto entry = co_await directory->entry(&session->fs(), at - 2);
    if (!entry.ok()) {
      reply_status(request, entry.status());
      co_return;
    }
    if (*entry == nullptr || !reply.add((*entry)->name(), (*entry)->attributes(), next, true))
      break;
  }
  reply.send();
}

void on_opendir(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info) {
  auto directory =
      std::make_unique<OpenDirectoryPtr>(std::make_shared<OpenDirectory>(InodeId(inode)));
  info->fh = reinterpret_cast<std::uint64_t>(directory.get());
  if (fuse_reply_open(request, info) == 0) (void)directory.release();
}

void start_read(fuse_req_t request, std::size_t size, off_t offset, const fuse_file_info* info,
                bool plus) {
  auto& session = session_of(request);
  session.spawn(read_directory(&session, request, directory_of(info), size,
                               static_cast<std::uint64_t>(offset), plus));
}

void on_readdir(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset,
                fuse_file_info* info) {
  start_read(request, size, offset, info, false);
}

void on_readdirplus(fuse_req_t request, fuse_ino_t, std::size_t size, off_t offset,
                    fuse_file_info* info) {
  start_read(request, size, offset, info, true);
}

void on_releasedir(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  delete reinterpret_cast<OpenDirectoryPtr*>(info->fh);
  fuse_reply_err(request, 0);
}

// Every metadata command is durable before it is answered: there is nothing left to sync.
void on_fsyncdir(fuse_req_t request, fuse_ino_t, int, fuse_file_info*) {
  fuse_reply_err(request, 0);
}

}  // namespace

void add_directory_operations(fuse_lowlevel_ops& table) {
  table.opendir = on_opendir;
  table.readdir = on_readdir;
  table.readdirplus = on_readdirplus;
  table.releasedir = on_releasedir;
  table.fsyncdir = on_fsyncdir;
}

}  // namespace shoal::fuse
