// Names, attributes and what is one command or query. The bytes of files: file_data.cc.
#include "client/posix_store.h"

#include <algorithm>
#include <set>

#include "proto/wire/convert.h"

namespace shoal::client {
namespace {

constexpr Duration kStatisticsAge = std::chrono::seconds(1);
constexpr Duration kStatusDeadline = std::chrono::seconds(1);

}  // namespace

// What metad says, with what this client has written on top.
Attributes PosixStore::overlaid(Attributes attributes) const {
  const auto found = files_.find(InodeId(attributes.inode()));
  if (found == files_.end()) return attributes;
  const FileStatePtr state = found->second.lock();
  if (state == nullptr || !state->has_dirty()) return attributes;
  attributes.set_size(std::max(
      {static_cast<std::uint64_t>(attributes.size()), state->dirty.end(), state->storing.end()}));
  attributes.set_mtime_ns(std::max<std::int64_t>(attributes.mtime_ns(), state->dirty_mtime_ns));
  attributes.set_ctime_ns(std::max<std::int64_t>(attributes.ctime_ns(), state->dirty_mtime_ns));
  return attributes;
}

Task<Result<Attributes>> PosixStore::file_command(proto::Command command) {
  auto reply = co_await metadata_.execute(std::move(command));
  if (!reply.ok()) co_return reply.status();
  co_return overlaid(std::move(*reply->mutable_file()->mutable_attributes()));
}

Task<Result<Attributes>> PosixStore::lookup(InodeId parent, std::string name) {
  proto::Query query;
  query.mutable_lookup()->set_parent(parent.value());
  query.mutable_lookup()->set_name(std::move(name));
  auto reply = co_await metadata_.query(std::move(query));
  if (!reply.ok()) co_return reply.status();
  co_return overlaid(std::move(*reply->mutable_entry()->mutable_attributes()));
}

Task<Result<Attributes>> PosixStore::get_attributes(InodeId inode) {
  proto::Query query;
  query.mutable_get_attributes()->set_inode(inode.value());
  auto reply = co_await metadata_.query(std::move(query));
  if (!reply.ok()) co_return reply.status();
  co_return overlaid(std::move(*reply->mutable_entry()->mutable_attributes()));
}

Task<Result<Attributes>> PosixStore::set_attributes(proto::SetAttributes request) {
  const FileStatePtr state = state_of(InodeId(request.inode()));
  AsyncMutex::Guard guard;
  // What was written before a truncate or a change of times must not come after it.
  if (request.set_size() || request.set_mtime()) {
    if (state->has_dirty()) CO_RETURN_IF_ERROR(co_await flush_state(state));
    guard = co_await state->flush_mutex.lock();
  }
  proto::Command command;
  *command.mutable_set_attributes() = request;
  auto reply = co_await metadata_.execute(std::move(command));
  if (!reply.ok()) co_return reply.status();
  const Attributes& attributes = reply->file().attributes();
  if (request.set_size()) {
    punch_extents(&state->extents, request.size(), UINT64_MAX, [](const Extent&) {});
    const std::uint64_t before = state->dirty.bytes();
    state->dirty.erase(request.size(), UINT64_MAX);
    note_dirty(before, state->dirty.bytes());
  }
  // The extents are known only if nobody else's change lies between.
  const std::uint64_t expected = state->attributes.data_version() + (request.set_size() ? 1 : 0);
  if (attributes.data_version() != expected) state->loaded = false;
  take_attributes(*state, attributes);
  co_return overlaid(attributes);
}

Task<Result<Attributes>> PosixStore::create(proto::CreateFile request) {
  proto::Command command;
  *command.mutable_create_file() = std::move(request);
  co_return co_await file_command(std::move(command));
}

Task<Result<OpenedFile>> PosixStore::create_and_open(proto::CreateFile request, bool truncate) {
  proto::Command command;
  *command.mutable_create_file() = std::move(request);
  auto reply = co_await metadata_.execute(std::move(command));
  if (!reply.ok()) co_return reply.status();
  const proto::FileReply& file = reply->file();
  if (truncate && !file.created() && file.attributes().size() > 0) {
    proto::SetAttributes change;
    change.set_inode(file.attributes().inode());
    change.set_set_size(true);
    auto cut = co_await set_attributes(std::move(change));
    if (!cut.ok()) co_return cut.status();
  }
  co_return co_await open_state(file.attributes().inode(), file.created());
}

Task<Result<OpenedFile>> PosixStore::open(InodeId inode, bool truncate) {
  if (truncate) {
    proto::SetAttributes change;
    change.set_inode(inode.value());
    change.set_set_size(true);
    auto cut = co_await set_attributes(std::move(change));
    if (!cut.ok()) co_return cut.status();
  }
  co_return co_await open_state(inode.value(), false);
}

Task<Result<Attributes>> PosixStore::link(InodeId inode, InodeId parent, std::string name) {
  proto::Command command;
  command.mutable_link_file()->set_inode(inode.value());
  command.mutable_link_file()->set_parent(parent.value());
  command.mutable_link_file()->set_name(std::move(name));
  co_return co_await file_command(std::move(command));
}

Task<Status> PosixStore::unlink(InodeId parent, std::string name) {
  proto::Command command;
  command.mutable_unlink_file()->set_parent(parent.value());
  command.mutable_unlink_file()->set_name(std::move(name));
  const auto reply = co_await metadata_.execute(std::move(command));
  co_return reply.status();
}

Task<Status> PosixStore::remove_directory(InodeId parent, std::string name) {
  proto::Command command;
  command.mutable_remove_directory()->set_parent(parent.value());
  command.mutable_remove_directory()->set_name(std::move(name));
  const auto reply = co_await metadata_.execute(std::move(command));
  co_return reply.status();
}

Task<Status> PosixStore::rename(proto::RenameFile request) {
  proto::Command command;
  *command.mutable_rename_file() = std::move(request);
  const auto reply = co_await metadata_.execute(std::move(command));
  co_return reply.status();
}

Task<Result<std::string>> PosixStore::read_symlink(InodeId inode) {
  proto::Query query;
  query.mutable_read_symlink()->set_inode(inode.value());
  auto reply = co_await metadata_.query(std::move(query));
  if (!reply.ok()) co_return reply.status();
  co_return reply->bytes().value();
}

Task<Result<proto::ReadDirectoryReply>> PosixStore::read_directory(InodeId inode,
                                                                   std::string marker,
                                                                   std::uint32_t limit) {
  proto::Query query;
  query.mutable_read_directory()->set_inode(inode.value());
  query.mutable_read_directory()->set_marker(std::move(marker));
  query.mutable_read_directory()->set_limit(limit);
  auto reply = co_await metadata_.query(std::move(query));
  if (!reply.ok()) co_return reply.status();
  proto::ReadDirectoryReply page = std::move(*reply->mutable_directory());
  for (proto::DirectoryEntry& entry : *page.mutable_entries()) {
    *entry.mutable_attributes() = overlaid(std::move(*entry.mutable_attributes()));
  }
  co_return page;
}

Task<Result<std::string>> PosixStore::get_xattr(InodeId inode, std::string name) {
  proto::Query query;
  query.mutable_get_xattr()->set_inode(inode.value());
  query.mutable_get_xattr()->set_name(std::move(name));
  auto reply = co_await metadata_.query(std::move(query));
  if (!reply.ok()) co_return reply.status();
  co_return reply->bytes().value();
}

Task<Result<std::vector<std::string>>> PosixStore::list_xattrs(InodeId inode) {
  proto::Query query;
  query.mutable_list_xattrs()->set_inode(inode.value());
  auto reply = co_await metadata_.query(std::move(query));
  if (!reply.ok()) co_return reply.status();
  co_return std::vector<std::string>(reply->names().names().begin(), reply->names().names().end());
}

Task<Status> PosixStore::set_xattr(proto::SetXattr request) {
  proto::Command command;
  *command.mutable_set_xattr() = std::move(request);
  const auto reply = co_await metadata_.execute(std::move(command));
  co_return reply.status();
}

Task<Status> PosixStore::remove_xattr(InodeId inode, std::string name) {
  proto::Command command;
  command.mutable_remove_xattr()->set_inode(inode.value());
  command.mutable_remove_xattr()->set_name(std::move(name));
  const auto reply = co_await metadata_.execute(std::move(command));
  co_return reply.status();
}

Task<void> PosixStore::ask_space(StorageApi* storage) {
  const auto drives = co_await storage->status(executor_.now() + kStatusDeadline);
  if (!drives.ok()) co_return;
  for (const DriveStatus& status : *drives)
    space_[status.drive] = {status.capacity_bytes, status.free_bytes};
}

// What the pool holds of user data: the drives' bytes less what the code adds. Of a drive that does
// not answer, what it said last.
Task<Result<FsStatistics>> PosixStore::statistics() {
  if (statistics_at_ != MonotonicTime{} && executor_.now() - statistics_at_ < kStatisticsAge)
    co_return statistics_;
  proto::Query query;
  query.mutable_get_status();
  auto reply = co_await metadata_.query(std::move(query));
  if (!reply.ok()) co_return reply.status();
  const std::shared_ptr<const ClusterMap> map = metadata_.cluster_map();
  router_.set_map(map);
  std::set<StorageApi*> asked;
  TaskScope asking;
  for (const DriveInfo& drive : map->drives) {
    if (drive.state == DriveState::kDown || drive.state == DriveState::kOut) continue;
    const auto api = router_.storage(drive.id);
    if (api.ok() && asked.insert(*api).second) asking.spawn(ask_space(*api));
  }
  co_await asking.join();
  absl::erase_if(space_, [&](const auto& drive) { return map->drive(drive.first) == nullptr; });
  FsStatistics total;
  total.file_count = reply->metadata_status().inode_count();
  for (const DriveInfo& drive : map->drives) {
    const auto space = space_.find(drive.id);
    if (space == space_.end() || drive.state == DriveState::kOut) continue;
    total.total_bytes += space->second.total_bytes;
    total.free_bytes += space->second.free_bytes;
  }
  if (const auto width = static_cast<std::uint64_t>(map->code.width()); width > 0) {
    total.total_bytes = total.total_bytes / width * map->code.k;
    total.free_bytes = total.free_bytes / width * map->code.k;
  }
  statistics_ = total;
  statistics_at_ = executor_.now();
  co_return total;
}

}  // namespace shoal::client
