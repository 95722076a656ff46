#include "storaged/service.h"

#include <algorithm>

#include "base/log.h"

namespace shoal::storaged {
namespace {

Task<Result<std::unique_ptr<Drive>>> open_drive(IoContext* io, DriveConfig config) {
  auto directory = FileDirectory::open(*io, config.path, config.options.format_if_empty);
  if (!directory.ok()) co_return directory.status();
  co_return co_await Drive::open(std::move(*directory), config.options);
}

}  // namespace

Task<std::unique_ptr<StorageServer>> StorageServer::open(IoContext& io,
                                                         std::vector<DriveConfig> drives) {
  std::unique_ptr<StorageServer> server(new StorageServer());
  std::vector<Task<Result<std::unique_ptr<Drive>>>> tasks;
  for (const DriveConfig& config : drives) tasks.push_back(open_drive(&io, config));
  auto opened = co_await when_all(std::move(tasks));
  for (std::size_t i = 0; i < drives.size(); ++i) {
    Entry entry;
    entry.config = std::move(drives[i]);
    const DriveId id = entry.config.options.identity.drive;
    if (opened[i].ok()) {
      entry.drive = std::move(*opened[i]);
    } else {
      entry.trouble = opened[i].status();
      log_error("storaged", "a drive cannot be opened",
                {{"drive", id.value()}, {"path", entry.config.path}, {"status", entry.trouble}});
    }
    server->drives_.emplace(id, std::move(entry));
  }
  co_return server;
}

Task<void> StorageServer::close() {
  for (auto& [id, entry] : drives_) {
    if (entry.drive != nullptr) co_await entry.drive->close();
  }
}

Result<Drive*> StorageServer::find(DriveId id) const {
  const auto found = drives_.find(id);
  if (found == drives_.end())
    return NotFoundError("drive " + id.to_string() + " is not served here");
  if (found->second.drive == nullptr) {
    return IoError("drive " + id.to_string() + " is not open: " + found->second.trouble.message());
  }
  return found->second.drive.get();
}

Task<Status> StorageServer::write_fragment(WriteFragmentRequest request, MonotonicTime) {
  auto drive = find(request.drive);
  if (!drive.ok()) co_return drive.status();
  co_return co_await (*drive)->write_fragment(std::move(request));
}

Task<Result<Buffer>> StorageServer::read_fragment(ReadFragmentRequest request, MonotonicTime) {
  auto drive = find(request.drive);
  if (!drive.ok()) co_return drive.status();
  co_return co_await (*drive)->read_fragment(request);
}

Task<Result<RowShape>> StorageServer::row_shape(DriveId id, PackId pack, std::uint32_t row,
                                                MonotonicTime) {
  auto drive = find(id);
  if (!drive.ok()) co_return drive.status();
  co_return co_await (*drive)->row_shape(pack, row);
}

Task<Status> StorageServer::seal_pack(DriveId id, PackId pack, std::uint64_t epoch, MonotonicTime) {
  auto drive = find(id);
  if (!drive.ok()) co_return drive.status();
  co_return co_await (*drive)->seal_pack(pack, epoch);
}

Task<Status> StorageServer::delete_pack(DriveId id, PackId pack, MonotonicTime) {
  auto drive = find(id);
  if (!drive.ok()) co_return drive.status();
  co_return co_await (*drive)->delete_pack(pack);
}

Task<Status> StorageServer::delete_rows(DriveId id, PackId pack, std::vector<std::uint32_t> rows,
                                        MonotonicTime) {
  auto drive = find(id);
  if (!drive.ok()) co_return drive.status();
  co_return co_await (*drive)->delete_rows(pack, std::move(rows));
}

Task<Result<std::vector<PackInfo>>> StorageServer::list_packs(DriveId id, PackId after,
                                                              std::uint32_t limit, MonotonicTime) {
  auto drive = find(id);
  if (!drive.ok()) co_return drive.status();
  co_return (*drive)->list_packs(after, limit);
}

Task<Result<std::vector<FragmentInfo>>> StorageServer::list_fragments(DriveId id, PackId pack,
                                                                      std::uint32_t first_row,
                                                                      std::uint32_t limit,
                                                                      MonotonicTime) {
  auto drive = find(id);
  if (!drive.ok()) co_return drive.status();
  co_return co_await (*drive)->list_fragments(pack, first_row, limit);
}

Task<Result<std::vector<DriveStatus>>> StorageServer::status(MonotonicTime) {
  std::vector<DriveStatus> all;
  for (const auto& [id, entry] : drives_) {
    if (entry.drive != nullptr) {
      all.push_back(entry.drive->status());
      continue;
    }
    DriveStatus status;
    status.drive = id;
    status.uuid = entry.config.options.identity.drive_uuid;
    status.path = entry.config.path;
    status.state = "failed: " + entry.trouble.message();
    all.push_back(std::move(status));
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.drive < b.drive; });
  co_return all;
}

}  // namespace shoal::storaged
