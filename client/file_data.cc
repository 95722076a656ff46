// The bytes of open files: reading through dirty, storing and committed; writing, flushing, holes.
#include <fcntl.h>
#include <linux/falloc.h>

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "client/posix_store.h"
#include "proto/wire/convert.h"

namespace shoal::client {
namespace {

// Dirty bytes of all files; a write that finds more waits for the write-out.
constexpr std::uint64_t kMaxDirtyBytes = 64ULL << 20;
// Dirty bytes of one file that start its write-out.
constexpr std::uint64_t kWriteOutBytes = 8ULL << 20;
// How long an open file's view may be old before a read asks metad again.
constexpr Duration kMaxAge = std::chrono::seconds(1);
constexpr int kCommitExtents = 4096;
constexpr std::size_t kFilesFlushedAtOnce = 64;

class Handle final : public FileHandle {
 public:
  explicit Handle(FileStatePtr s) : state(std::move(s)) {}
  InodeId inode() const override { return state->inode; }
  FileStatePtr state;
};

FileStatePtr state_of_handle(const FileHandlePtr& file) {
  return static_cast<Handle*>(file.get())->state;
}

}  // namespace

FileStatePtr PosixStore::state_of(InodeId inode) {
  std::weak_ptr<FileState>& slot = files_[inode];
  FileStatePtr state = slot.lock();
  if (state == nullptr) {
    state = std::shared_ptr<FileState>(new FileState(inode), [this](FileState* gone) {
      const auto found = files_.find(gone->inode);
      if (found != files_.end() && found->second.expired()) files_.erase(found);
      delete gone;
    });
    slot = state;
  }
  return state;
}

void PosixStore::take_attributes(FileState& state, const Attributes& attributes) {
  state.attributes = attributes;
  state.seen_at = executor_.now();
}

Task<Result<OpenedFile>> PosixStore::open_state(std::uint64_t inode, bool created) {
  proto::Query query;
  query.mutable_open_file()->set_inode(inode);
  auto reply = co_await metadata_.query(std::move(query));
  if (!reply.ok()) co_return reply.status();
  const FileStatePtr state = state_of(InodeId(inode));
  const Attributes& attributes = reply->entry().attributes();
  // Close-to-open: what another client committed before this open is seen from here on.
  if (state->loaded && state->attributes.data_version() != attributes.data_version())
    state->loaded = false;
  take_attributes(*state, attributes);
  ++state->handles;
  OpenedFile opened;
  opened.attributes = overlaid(attributes);
  opened.handle = std::make_shared<Handle>(state);
  opened.created = created;
  co_return opened;
}

// Fetches the extents of the newest version.
Task<Status> PosixStore::load(FileStatePtr state) {
  const auto guard = co_await state->load_mutex.lock();
  if (state->loaded) co_return OkStatus();
  ExtentList extents;
  std::uint64_t from = 0;
  Attributes attributes;
  for (bool more = true; more;) {
    proto::Query query;
    query.mutable_get_extents()->set_inode(state->inode.value());
    query.mutable_get_extents()->set_offset(from);
    auto reply = co_await metadata_.query(std::move(query));
    if (!reply.ok()) co_return reply.status();
    auto page = wire::extents_from_proto(reply->entry().extents());
    if (!page.ok()) co_return page.status();
    const bool changed =
        from > 0 && reply->entry().attributes().data_version() != attributes.data_version();
    attributes = reply->entry().attributes();
    if (changed) {  // a commit by another came between two pages
      extents.clear();
      from = 0;
      continue;
    }
    extents.insert(extents.end(), page->begin(), page->end());
    more = reply->entry().more_extents() && !page->empty();
    if (more) from = extents.back().file_end();
  }
  // A commit of our own may have been applied meanwhile: the newer version counts.
  if (state->loaded && state->attributes.data_version() > attributes.data_version())
    co_return OkStatus();
  state->extents = std::move(extents);
  take_attributes(*state, attributes);
  state->loaded = true;
  co_return OkStatus();
}

Task<Status> PosixStore::revalidate(FileStatePtr state) {
  if (executor_.now() - state->seen_at < kMaxAge) co_return OkStatus();
  proto::Query query;
  query.mutable_get_attributes()->set_inode(state->inode.value());
  auto reply = co_await metadata_.query(std::move(query));
  if (!reply.ok()) co_return reply.status();
  const Attributes& attributes = reply->entry().attributes();
  if (attributes.data_version() < state->attributes.data_version()) co_return OkStatus();
  if (attributes.data_version() != state->attributes.data_version()) state->loaded = false;
  take_attributes(*state, attributes);
  co_return OkStatus();
}

Task<Result<BufferList>> PosixStore::read(FileHandlePtr file, std::uint64_t offset,
                                          std::uint32_t length) {
  const FileStatePtr state = state_of_handle(file);
  CO_RETURN_IF_ERROR(co_await revalidate(state));
  const std::uint64_t size = state->size();
  BufferList out;
  if (offset >= size) co_return out;
  const std::uint64_t wanted = std::min<std::uint64_t>(length, size - offset);
  auto bytes = co_await assemble(state, offset, wanted);
  if (!bytes.ok()) co_return bytes.status();
  out.push_back(std::move(*bytes));
  co_return out;
}

// Repack may have moved bytes since their extents were asked for, and their old packs may be gone:
// then they are read where they lie now.
Task<Result<Buffer>> PosixStore::assemble(FileStatePtr state, std::uint64_t offset,
                                          std::uint64_t length) {
  for (int attempt = 0;; ++attempt) {
    if (!state->loaded) CO_RETURN_IF_ERROR(co_await load(state));
    const ExtentList before = slice_extents(state->extents, offset, offset + length);
    auto bytes = co_await assemble_once(state, offset, length);
    if (bytes.ok() || attempt == kMovedAttempts) co_return bytes;
    state->loaded = false;
    const Status loaded = co_await load(state);
    if (!loaded.ok() || slice_extents(state->extents, offset, offset + length) == before)
      co_return bytes;
  }
}

Task<Result<Buffer>> PosixStore::assemble_once(FileStatePtr state, std::uint64_t offset,
                                               std::uint64_t length) {
  const std::uint64_t end = offset + length;
  if (!state->loaded) CO_RETURN_IF_ERROR(co_await load(state));
  // One moment's view, before anything is waited for: a flush that ends meanwhile does not matter.
  const auto dirty = state->dirty.slice(offset, end);
  const auto storing = state->storing.slice(offset, end);
  const ExtentList extents = slice_extents(state->extents, offset, end);
  if (dirty.empty() && storing.empty() && extents.size() == 1 && extents[0].length == length) {
    co_return co_await reader_.read(extents[0], 0, extents[0].length);
  }
  if (dirty.size() == 1 && dirty[0].second.size() == length) co_return dirty[0].second;
  std::vector<Task<Result<Buffer>>> reads;
  for (const Extent& extent : extents) reads.push_back(reader_.read(extent, 0, extent.length));
  auto parts = co_await when_all(std::move(reads));
  Buffer whole = Buffer::zeros(length);
  const auto place = [&](std::uint64_t at, const Buffer& bytes) {
    if (!bytes.empty())
      std::memcpy(whole.mutable_data() + (at - offset), bytes.data(), bytes.size());
  };
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (!parts[i].ok()) co_return parts[i].status();
    place(extents[i].file_offset, *parts[i]);
  }
  for (const auto& [at, bytes] : storing) place(at, bytes);
  for (const auto& [at, bytes] : dirty) place(at, bytes);
  co_return whole;
}

void PosixStore::note_dirty(std::uint64_t before, std::uint64_t after) {
  dirty_bytes_ = dirty_bytes_ + after - before;
  if (after < before) dirty_less_.notify_all();
}

Task<Result<std::uint64_t>> PosixStore::write(FileHandlePtr file, std::uint64_t offset,
                                              BufferList data, bool append) {
  const FileStatePtr state = state_of_handle(file);
  while (dirty_bytes_ >= kMaxDirtyBytes) {
    if (!state->write_out_error.ok()) co_return state->write_out_error;
    if (!state->dirty.empty() && !state->write_out_running) {
      state->write_out_running = true;
      background_.spawn(write_out(state));
    }
    co_await dirty_less_.wait();
  }
  if (append) {
    state->seen_at = MonotonicTime{};
    CO_RETURN_IF_ERROR(co_await revalidate(state));
    offset = state->size();
  }
  const std::uint64_t start = offset;
  const std::uint64_t before = state->dirty.bytes();
  for (Buffer& piece : data) {
    const std::size_t n = piece.size();
    state->dirty.write(offset, std::move(piece));
    offset += n;
  }
  state->dirty_mtime_ns = executor_.clock().wall_now_ns();
  note_dirty(before, state->dirty.bytes());
  if (state->dirty.bytes() >= kWriteOutBytes && !state->write_out_running) {
    state->write_out_running = true;
    background_.spawn(write_out(state));
  }
  co_return start;
}

Task<void> PosixStore::write_out(FileStatePtr state) {
  const Status written = co_await flush_state(state);
  if (!written.ok()) state->write_out_error = written;
  state->write_out_running = false;
  dirty_less_.notify_all();
}

Task<Status> PosixStore::flush(FileHandlePtr file) {
  const FileStatePtr state = state_of_handle(file);
  const Status flushed = co_await flush_state(state);
  // What went wrong in the background is told once, also if this flush made it good.
  const Status earlier = std::exchange(state->write_out_error, OkStatus());
  if (flushed.ok() && !earlier.ok() && state->has_dirty()) co_return earlier;
  co_return flushed;
}

Task<Status> PosixStore::flush_state(FileStatePtr state) {
  const auto guard = co_await state->flush_mutex.lock();
  if (state->dirty.empty()) co_return OkStatus();
  state->storing = std::exchange(state->dirty, DirtyData());
  const std::uint64_t bytes = state->storing.bytes();
  Status stored = co_await store_and_commit(state);
  // The session was lost between storing and commit: everything is still here and goes again.
  if (stored.code() == StatusCode::kFenced) stored = co_await store_and_commit(state);
  const std::uint64_t before = state->dirty.bytes();
  if (stored.ok()) {
    state->storing.clear();
    note_dirty(bytes, 0);
  } else {
    state->dirty.merge_below(state->storing);
    state->storing.clear();
    note_dirty(bytes + before, state->dirty.bytes());
  }
  co_return stored;
}

Task<Status> PosixStore::store_and_commit(FileStatePtr state) {
  auto extents = co_await store(state);
  if (!extents.ok()) co_return extents.status();
  const Status committed = co_await commit(state, *extents);
  writer_.settled(*extents);
  co_return committed;
}

static Task<Result<Extent>> store_piece(PackWriter* writer, std::uint64_t offset, Buffer piece,
                                        InodeId inode) {
  PieceHint hint;
  hint.inode = inode;
  hint.file_offset = offset;
  auto extent = co_await writer->write(std::move(piece), hint);
  if (extent.ok()) extent->file_offset = offset;
  co_return extent;
}

Task<Result<ExtentList>> PosixStore::store(FileStatePtr state) {
  std::vector<Task<Result<Extent>>> writes;
  for (auto& [offset, piece] : coalesce(state->storing, kMaxColumnBytes)) {
    writes.push_back(store_piece(&writer_, offset, std::move(piece), state->inode));
  }
  auto results = co_await when_all(std::move(writes));
  ExtentList extents;
  Status failed;
  for (auto& result : results) {
    if (result.ok()) {
      extents.push_back(*result);
    } else if (failed.ok()) {
      failed = result.status();
    }
  }
  if (failed.ok()) co_return extents;
  writer_.settled(extents);
  co_return failed;
}

Task<Status> PosixStore::commit(FileStatePtr state, ExtentList extents) {
  for (std::size_t at = 0; at < extents.size(); at += kCommitExtents) {
    const ExtentList part(extents.begin() + static_cast<std::ptrdiff_t>(at),
                          extents.begin() + static_cast<std::ptrdiff_t>(
                                                std::min(extents.size(), at + kCommitExtents)));
    proto::Command command;
    command.mutable_commit_data()->set_inode(state->inode.value());
    wire::extents_to_proto(part, command.mutable_commit_data()->mutable_extents());
    auto reply = co_await metadata_.execute(std::move(command));
    if (!reply.ok()) co_return reply.status();
    const Attributes& attributes = reply->file().attributes();
    // If only this commit lies between what we knew and the new version, the extents are known
    // without asking.
    if (state->loaded && attributes.data_version() == state->attributes.data_version() + 1) {
      for (const Extent& extent : part)
        insert_extent(&state->extents, extent, [](const Extent&) {});
    } else {
      state->loaded = false;
    }
    take_attributes(*state, attributes);
  }
  co_return OkStatus();
}

Task<Status> PosixStore::release(FileHandlePtr file) {
  const FileStatePtr state = state_of_handle(file);
  const Status flushed = co_await flush(file);
  --state->handles;
  proto::Query query;
  query.mutable_close_file()->set_inode(state->inode.value());
  const auto reply = co_await metadata_.query(std::move(query));
  const bool nameless = reply.ok() && reply->entry().attributes().inode() == state->inode.value() &&
                        reply->entry().attributes().link_count() == 0;
  if (nameless && state->handles == 0) {
    proto::Command command;
    command.mutable_release_orphan()->set_inode(state->inode.value());
    (void)co_await metadata_.execute(std::move(command));
  }
  co_return flushed;
}

Task<Status> PosixStore::allocate(FileHandlePtr file, int mode, std::uint64_t offset,
                                  std::uint64_t length) {
  constexpr int kKnown = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
  const FileStatePtr state = state_of_handle(file);
  if ((mode & ~kKnown) != 0) co_return NotSupportedError("fallocate mode " + std::to_string(mode));
  if (length == 0) co_return InvalidArgumentError("fallocate of no bytes");
  CO_RETURN_IF_ERROR(co_await flush_state(state));
  const auto guard = co_await state->flush_mutex.lock();
  proto::Command command;
  proto::CommitData* commit = command.mutable_commit_data();
  commit->set_inode(state->inode.value());
  if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0) {
    commit->add_punch()->set_offset(offset);
    commit->mutable_punch(0)->set_length(length);
  }
  if ((mode & FALLOC_FL_KEEP_SIZE) == 0) commit->set_size_at_least(offset + length);
  // Space is not reserved: there is nothing to write ahead of the bytes in a log.
  if (commit->punch_size() == 0 && commit->size_at_least() == 0) co_return OkStatus();
  auto reply = co_await metadata_.execute(std::move(command));
  if (!reply.ok()) co_return reply.status();
  state->loaded = false;
  take_attributes(*state, reply->file().attributes());
  co_return OkStatus();
}

Task<Result<std::uint64_t>> PosixStore::copy_range(FileHandlePtr source,
                                                   std::uint64_t source_offset,
                                                   FileHandlePtr target,
                                                   std::uint64_t target_offset,
                                                   std::uint64_t length) {
  const FileStatePtr from = state_of_handle(source);
  const FileStatePtr to = state_of_handle(target);
  CO_RETURN_IF_ERROR(co_await flush_state(from));
  CO_RETURN_IF_ERROR(co_await flush_state(to));
  from->seen_at = MonotonicTime{};
  CO_RETURN_IF_ERROR(co_await revalidate(from));
  const std::uint64_t size = from->attributes.size();
  if (source_offset >= size) co_return std::uint64_t{0};
  const std::uint64_t copied = std::min(length, size - source_offset);
  const auto guard = co_await to->flush_mutex.lock();
  proto::Command command;
  command.mutable_clone_range()->set_source(from->inode.value());
  command.mutable_clone_range()->set_source_offset(source_offset);
  command.mutable_clone_range()->set_target(to->inode.value());
  command.mutable_clone_range()->set_target_offset(target_offset);
  command.mutable_clone_range()->set_length(copied);
  auto reply = co_await metadata_.execute(std::move(command));
  if (!reply.ok()) co_return reply.status();
  to->loaded = false;
  take_attributes(*to, reply->file().attributes());
  co_return copied;
}

Task<Result<std::uint64_t>> PosixStore::seek(FileHandlePtr file, std::uint64_t offset, bool data) {
  const FileStatePtr state = state_of_handle(file);
  CO_RETURN_IF_ERROR(co_await flush_state(state));
  CO_RETURN_IF_ERROR(co_await revalidate(state));
  if (!state->loaded) CO_RETURN_IF_ERROR(co_await load(state));
  const std::uint64_t size = state->attributes.size();
  if (offset >= size) co_return OutOfRangeError("seek past the end");
  std::uint64_t at = offset;
  for (const Extent& extent : state->extents) {
    if (extent.file_end() <= at) continue;
    if (data) co_return std::max(at, extent.file_offset);
    if (extent.file_offset > at) co_return at;
    at = extent.file_end();
  }
  if (data) co_return OutOfRangeError("no data behind the offset");
  co_return std::min(at, size);
}

Task<Status> PosixStore::flush_all() {
  std::vector<FileStatePtr> open;
  for (const auto& [inode, weak] : files_) {
    if (FileStatePtr state = weak.lock(); state != nullptr && state->has_dirty())
      open.push_back(std::move(state));
  }
  // Side by side: small files share rows, and where nothing can be written they wait together.
  struct Flush {
    static Task<void> run(PosixStore* store, FileStatePtr state, AsyncSemaphore* slots,
                          Status* first) {
      const Status flushed = co_await store->flush_state(state);
      if (first->ok()) *first = flushed;
      slots->release();
    }
  };
  Status first;
  AsyncSemaphore slots(kFilesFlushedAtOnce);
  TaskScope flushing;
  for (FileStatePtr& state : open) {
    co_await slots.acquire();
    flushing.spawn(Flush::run(this, std::move(state), &slots, &first));
  }
  co_await flushing.join();
  co_return first;
}

}  // namespace shoal::client
