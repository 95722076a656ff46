#include "storaged/service.h"

#include "base/io/raw_device.h"
#include "base/log.h"
#include "storaged/limits.h"

namespace shoal::storaged {
namespace {

Task<Result<std::unique_ptr<BlockDirectory>>> open_on_this_machine(IoContext* io,
                                                                   DriveConfig config) {
  const bool make = config.options.format_if_empty;
  std::unique_ptr<BlockDirectory> opened;
  if (is_block_device(config.path)) {
    auto device = co_await DeviceDirectory::open_when_free(*io, config.path, make);
    if (!device.ok()) co_return device.status();
    opened = std::move(*device);
  } else {
    auto directory = co_await FileDirectory::open_when_free(*io, config.path, make);
    if (!directory.ok()) co_return directory.status();
    opened = std::move(*directory);
  }
  co_return opened;
}

}  // namespace

Task<Result<std::unique_ptr<Drive>>> StorageServer::open_drive(const OpenDirectory* open_directory,
                                                               DriveConfig config) {
  auto directory = co_await (*open_directory)(config);
  if (!directory.ok()) co_return directory.status();
  co_return co_await Drive::open(std::move(*directory), config.options);
}

Task<std::unique_ptr<StorageServer>> StorageServer::open(IoContext& io,
                                                         std::vector<DriveConfig> drives) {
  OpenDirectory open_directory = [&io](const DriveConfig& config) {
    return open_on_this_machine(&io, config);
  };
  co_return co_await open(io.loop(), std::move(open_directory), std::move(drives));
}

Task<std::unique_ptr<StorageServer>> StorageServer::open(Executor& executor,
                                                         OpenDirectory open_directory,
                                                         std::vector<DriveConfig> drives) {
  std::unique_ptr<StorageServer> server(new StorageServer(executor, std::move(open_directory)));
  std::vector<Task<Result<std::unique_ptr<Drive>>>> tasks;
  for (const DriveConfig& config : drives)
    tasks.push_back(open_drive(&server->open_directory_, config));
  auto opened = co_await when_all(std::move(tasks));
  for (std::size_t i = 0; i < drives.size(); ++i) {
    auto entry = std::make_unique<Entry>();
    entry->config = std::move(drives[i]);
    // Later an empty directory is a drive that is not there, never a new one.
    entry->config.options.format_if_empty = false;
    if (opened[i].ok()) {
      entry->drive = std::move(*opened[i]);
    } else {
      set_trouble(entry.get(), opened[i].status());
    }
    const DriveId id = entry->config.options.identity.drive;
    server->drives_.emplace(id, std::move(entry));
  }
  server->background_.spawn(server->watch_drives());
  co_return server;
}

Task<Status> StorageServer::add_drive(DriveConfig config) {
  const DriveId id = config.options.identity.drive;
  if (drives_.contains(id)) co_return AlreadyExistsError("drive " + id.to_string() + " is served");
  auto opened = co_await open_drive(&open_directory_, config);
  if (!opened.ok()) co_return opened.status();
  auto entry = std::make_unique<Entry>();
  entry->config = std::move(config);
  entry->config.options.format_if_empty = false;
  entry->drive = std::move(*opened);
  if (!drives_.emplace(id, std::move(entry)).second)
    co_return AlreadyExistsError("drive " + id.to_string() + " is served");
  co_return OkStatus();
}

void StorageServer::set_trouble(Entry* entry, Status trouble) {
  if (trouble == entry->trouble) return;
  log_error("storaged", "a drive is not open",
            {{"drive", entry->config.options.identity.drive.value()},
             {"path", entry->config.path},
             {"status", trouble}});
  entry->trouble = std::move(trouble);
}

Status StorageServer::trouble() const {
  for (const auto& [id, entry] : drives_)
    if (!entry->trouble.ok()) return entry->trouble;
  return OkStatus();
}

Task<void> StorageServer::close() {
  closing_ = true;
  executor_.cancel(watch_timer_);
  wake_.notify_all();
  co_await background_.join();
  co_await pace_.close();
  for (const auto& [id, entry] : drives_) {
    co_await entry->calls.join();
    if (entry->drive != nullptr) co_await entry->drive->close();
  }
}

Task<void> StorageServer::watch_drives() {
  while (!closing_) {
    watch_timer_ = executor_.schedule_at(executor_.now() + kDriveWatchInterval,
                                         [this] { wake_.notify_all(); });
    co_await wake_.wait();
    for (const auto& [id, entry] : drives_) {
      // One that hangs keeps nobody from looking at the others.
      if (!closing_ && !std::exchange(entry->checking, true)) background_.spawn(check(entry.get()));
    }
  }
}

Task<void> StorageServer::check(Entry* entry) {
  if (entry->drive == nullptr) {
    auto opened = co_await open_drive(&open_directory_, entry->config);
    if (opened.ok()) {
      log_info("storaged", "a drive is back", {{"path", entry->config.path}});
      entry->drive = std::move(*opened);
      entry->trouble = OkStatus();
    } else {
      set_trouble(entry, opened.status());
    }
  } else {
    const Status present = co_await entry->drive->check_present();
    if (!present.ok()) {
      set_trouble(entry, present);
      const DrivePtr gone = std::exchange(entry->drive, nullptr);
      co_await gone->close();
    }
  }
  entry->checking = false;
}

Result<StorageServer::Entry*> StorageServer::find(DriveId id) const {
  const auto found = drives_.find(id);
  if (found == drives_.end())
    return NotFoundError("drive " + id.to_string() + " is not served here");
  Entry* entry = found->second.get();
  if (entry->drive == nullptr)
    return IoError("drive " + id.to_string() + " is not open: " + entry->trouble.message());
  return entry;
}

template <typename Call>
auto StorageServer::run_call(DrivePtr drive, Call call) -> std::invoke_result_t<Call&, Drive&> {
  co_return co_await call(*drive);
}

template <typename Call>
auto StorageServer::on_drive(DriveId id, MonotonicTime deadline, Call call)
    -> std::invoke_result_t<Call&, Drive&> {
  auto entry = find(id);
  if (!entry.ok()) co_return entry.status();
  CallGate& calls = (*entry)->calls;
  co_return co_await calls.run(id, run_call((*entry)->drive, std::move(call)), deadline);
}

Task<Status> StorageServer::write_fragment(WriteFragmentRequest request, MonotonicTime deadline) {
  const std::uint64_t bytes = total_size(request.payload);
  if (request.repair || request.reclaiming) {
    CO_RETURN_IF_ERROR(co_await pace_.admit(bytes, deadline));
  } else {
    pace_.note_foreground(bytes);
  }
  const DriveId id = request.drive;
  auto call = [request = std::move(request)](Drive& drive) mutable {
    return drive.write_fragment(std::move(request));
  };
  co_return co_await on_drive(id, deadline, std::move(call));
}

Task<Result<Buffer>> StorageServer::read_fragment(ReadFragmentRequest request,
                                                  MonotonicTime deadline) {
  if (request.background) {
    CO_RETURN_IF_ERROR(co_await pace_.admit(request.length, deadline));
  } else {
    pace_.note_foreground(request.length);
  }
  auto call = [request](Drive& drive) { return drive.read_fragment(request); };
  co_return co_await on_drive(request.drive, deadline, call);
}

Task<Result<RowShape>> StorageServer::row_shape(DriveId id, PackId pack, std::uint32_t row,
                                                MonotonicTime deadline) {
  auto call = [pack, row](Drive& drive) { return drive.row_shape(pack, row); };
  co_return co_await on_drive(id, deadline, call);
}

Task<Result<std::vector<RowObject>>> StorageServer::row_directory(DriveId id, FragmentKey key,
                                                                  MonotonicTime deadline) {
  auto call = [key](Drive& drive) { return drive.row_directory(key); };
  co_return co_await on_drive(id, deadline, call);
}

Task<Status> StorageServer::seal_pack(DriveId id, PackId pack, std::uint64_t epoch,
                                      MonotonicTime deadline) {
  auto call = [pack, epoch](Drive& drive) { return drive.seal_pack(pack, epoch); };
  co_return co_await on_drive(id, deadline, call);
}

Task<Status> StorageServer::delete_pack(DriveId id, PackId pack, MonotonicTime deadline) {
  auto call = [pack](Drive& drive) { return drive.delete_pack(pack); };
  co_return co_await on_drive(id, deadline, call);
}

Task<Status> StorageServer::evict_pack(DriveId id, PackId pack, MonotonicTime deadline) {
  auto call = [pack](Drive& drive) { return drive.evict_pack(pack); };
  co_return co_await on_drive(id, deadline, call);
}

Task<Status> StorageServer::delete_rows(DriveId id, PackId pack, std::vector<std::uint32_t> rows,
                                        MonotonicTime deadline) {
  auto call = [pack, rows = std::move(rows)](Drive& drive) {
    return drive.delete_rows(pack, rows);
  };
  co_return co_await on_drive(id, deadline, std::move(call));
}

Task<Result<std::vector<FragmentInfo>>> StorageServer::list_fragments(DriveId id, PackId pack,
                                                                      std::uint32_t first_row,
                                                                      std::uint32_t limit,
                                                                      FragmentDetail detail,
                                                                      MonotonicTime deadline) {
  // Only audits and the like ask for lists.
  const std::uint64_t read = detail != FragmentDetail::kIndexed ? limit * kListedBytes : 0;
  CO_RETURN_IF_ERROR(co_await pace_.admit(read, deadline));
  auto call = [=](Drive& drive) { return drive.list_fragments(pack, first_row, limit, detail); };
  co_return co_await on_drive(id, deadline, call);
}

// What is answered from memory waits for no device.

Task<Result<std::vector<PackInfo>>> StorageServer::list_packs(DriveId id, PackId after,
                                                              std::uint32_t limit, MonotonicTime) {
  const auto entry = find(id);
  if (!entry.ok()) co_return entry.status();
  co_return (*entry)->drive->list_packs(after, limit);
}

Task<Result<std::vector<DamagedFragment>>> StorageServer::damaged_fragments(DriveId id,
                                                                            FragmentKey after,
                                                                            std::uint32_t limit,
                                                                            MonotonicTime) {
  const auto entry = find(id);
  if (!entry.ok()) co_return entry.status();
  co_return (*entry)->drive->damaged_fragments(after, limit);
}

Task<Status> StorageServer::scrub(DriveId id, ScrubAction action, std::uint64_t bytes_per_second,
                                  MonotonicTime) {
  const auto entry = find(id);
  if (!entry.ok()) co_return entry.status();
  co_return (*entry)->drive->scrub(action, bytes_per_second);
}

Task<Result<std::vector<DriveStatus>>> StorageServer::status(MonotonicTime) {
  std::vector<DriveStatus> all;
  for (const auto& [id, entry] : drives_) {
    if (entry->drive != nullptr) {
      all.push_back(entry->drive->status());
      const std::size_t hung = entry->calls.hung();
      if (hung > 0)
        all.back().state =
            "hangs: " + std::to_string(hung) + " calls have not ended at their deadlines";
      continue;
    }
    DriveStatus status;
    status.drive = id;
    status.uuid = entry->config.options.identity.drive_uuid;
    status.path = entry->config.path;
    status.state = "failed: " + entry->trouble.message();
    all.push_back(std::move(status));
  }
  co_return all;
}

}  // namespace shoal::storaged
