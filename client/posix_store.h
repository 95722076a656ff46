// PosixStore: PosixApi over the data path and a metadata session. Belongs to one executor.
//
// All handles of an inode on this client share one FileState: the committed extents as last seen,
// bytes being stored, and dirty bytes. A read looks through them from the newest to the oldest. A
// flush moves the dirty bytes to "being stored", stores them, commits extents and size in one
// command, and only then drops them: at no time is a byte in none of the three.
#pragma once

#include <absl/container/btree_map.h>

#include <memory>
#include <string>

#include "base/async/sync.h"
#include "base/extent_list.h"
#include "client/dirty_data.h"
#include "client/extent_reader.h"
#include "client/metadata_client.h"
#include "client/pack_writer.h"
#include "client/posix_api.h"
#include "client/storage_router.h"

namespace shoal::client {

struct FileState {
  explicit FileState(InodeId id) : inode(id) {}
  const InodeId inode;
  Attributes attributes;  // as metad last gave them
  ExtentList extents;     // of attributes.data_version
  bool loaded = false;
  MonotonicTime seen_at{};  // when that was
  DirtyData dirty;
  DirtyData storing;  // of the flush under way
  std::int64_t dirty_mtime_ns = 0;
  AsyncMutex flush_mutex;  // one flush or truncate at a time
  AsyncMutex load_mutex;
  bool write_out_running = false;
  Status write_out_error;  // of a background write-out; told at the next flush
  int handles = 0;

  std::uint64_t size() const {
    return std::max({static_cast<std::uint64_t>(attributes.size()), dirty.end(), storing.end()});
  }
  bool has_dirty() const { return !dirty.empty() || !storing.empty(); }
};
using FileStatePtr = std::shared_ptr<FileState>;

class PosixStore final : public PosixApi {
 public:
  PosixStore(MetadataClient& metadata, PackWriter& writer, ExtentReader& reader,
             StorageRouter& router, Executor& executor)
      : metadata_(metadata),
        writer_(writer),
        reader_(reader),
        router_(router),
        executor_(executor) {}
  ~PosixStore() override { CHECK(background_.running() == 0); }
  // Waits for background write-out; flush_all() first.
  Task<void> close() { co_await background_.join(); }

  Task<Result<Attributes>> lookup(InodeId parent, std::string name) override;
  Task<Result<Attributes>> get_attributes(InodeId inode) override;
  Task<Result<Attributes>> set_attributes(proto::SetAttributes request) override;
  Task<Result<Attributes>> create(proto::CreateFile request) override;
  Task<Result<OpenedFile>> create_and_open(proto::CreateFile request, bool truncate) override;
  Task<Result<Attributes>> link(InodeId inode, InodeId parent, std::string name) override;
  Task<Status> unlink(InodeId parent, std::string name) override;
  Task<Status> remove_directory(InodeId parent, std::string name) override;
  Task<Status> rename(proto::RenameFile request) override;
  Task<Result<std::string>> read_symlink(InodeId inode) override;
  Task<Result<OpenedFile>> open(InodeId inode, bool truncate) override;
  Task<Result<BufferList>> read(FileHandlePtr file, std::uint64_t offset,
                                std::uint32_t length) override;
  Task<Result<std::uint64_t>> write(FileHandlePtr file, std::uint64_t offset, BufferList data,
                                    bool append) override;
  Task<Status> flush(FileHandlePtr file) override;
  Task<Status> release(FileHandlePtr file) override;
  Task<Status> allocate(FileHandlePtr file, int mode, std::uint64_t offset,
                        std::uint64_t length) override;
  Task<Result<std::uint64_t>> copy_range(FileHandlePtr source, std::uint64_t source_offset,
                                         FileHandlePtr target, std::uint64_t target_offset,
                                         std::uint64_t length) override;
  Task<Result<std::uint64_t>> seek(FileHandlePtr file, std::uint64_t offset, bool data) override;
  Task<Result<proto::ReadDirectoryReply>> read_directory(InodeId inode, std::string marker,
                                                         std::uint32_t limit) override;
  Task<Result<std::string>> get_xattr(InodeId inode, std::string name) override;
  Task<Result<std::vector<std::string>>> list_xattrs(InodeId inode) override;
  Task<Status> set_xattr(proto::SetXattr request) override;
  Task<Status> remove_xattr(InodeId inode, std::string name) override;
  Task<Result<FsStatistics>> statistics() override;
  Task<Status> flush_all() override;

 private:
  // posix_store.cc
  Attributes overlaid(Attributes attributes) const;
  Task<Result<Attributes>> file_command(proto::Command command);
  Task<void> ask_space(StorageApi* storage);
  Task<Result<OpenedFile>> open_state(std::uint64_t inode, bool created);

  // file_data.cc
  FileStatePtr state_of(InodeId inode);
  void take_attributes(FileState& state, const Attributes& attributes);
  Task<Status> load(FileStatePtr state);
  Task<Status> revalidate(FileStatePtr state);
  Task<Status> flush_state(FileStatePtr state);
  Task<Status> store_and_commit(FileStatePtr state);
  Task<Result<ExtentList>> store(FileStatePtr state);
  Task<Status> commit(FileStatePtr state, ExtentList extents);
  Task<void> write_out(FileStatePtr state);
  void note_dirty(std::uint64_t before, std::uint64_t after);
  Task<Result<Buffer>> assemble(FileStatePtr state, std::uint64_t offset, std::uint64_t length);
  Task<Result<Buffer>> assemble_once(FileStatePtr state, std::uint64_t offset,
                                     std::uint64_t length);

  MetadataClient& metadata_;
  PackWriter& writer_;
  ExtentReader& reader_;
  StorageRouter& router_;
  Executor& executor_;
  absl::btree_map<InodeId, std::weak_ptr<FileState>> files_;
  std::uint64_t dirty_bytes_ = 0;
  Signal dirty_less_;
  TaskScope background_;
  FsStatistics statistics_;
  MonotonicTime statistics_at_{};
  struct DriveSpace {
    std::uint64_t total_bytes = 0;
    std::uint64_t free_bytes = 0;
  };
  absl::btree_map<DriveId, DriveSpace> space_;  // as each drive said last
};

}  // namespace shoal::client
