// Files through the POSIX door. Invariant: after a flush that was acknowledged the bytes and the
// size are there, also for another client and after any crash; a client reads what it has written.
#include <cstring>
#include <map>
#include <optional>

#include "tests/sim/workloads/workload.h"

namespace shoal::sim {
namespace {

constexpr std::uint64_t kMaxFileBytes = 90'000;
constexpr int kWorkers = 2;

struct File {
  std::string flushed;               // acknowledged content
  std::optional<std::string> maybe;  // what a flush without a known outcome would have left
  bool exists = false;               // creation was acknowledged
  bool maybe_gone = false;           // an unlink without a known outcome
  bool unlinked = false;             // an unlink was acknowledged
  bool left_alone = false;
};

class FilesWorkload final : public Workload {
 public:
  FilesWorkload(SimCluster& cluster, std::string name, std::uint64_t seed)
      : Workload(cluster, std::move(name), seed) {}

  Task<void> run(client::ClientStack* client) override;
  Task<void> check(client::ClientStack* client) override;

 private:
  Task<int> work(client::ClientStack* client);
  Task<void> edit(client::ClientStack* client, std::string name);
  Task<Status> change(client::ClientStack* client, client::FileHandlePtr handle,
                      std::string* content);
  Task<Status> read_back(client::ClientStack* client, client::FileHandlePtr handle,
                         const std::string* content);
  Task<void> unlink(client::ClientStack* client, std::string name);
  Task<void> check_file(client::ClientStack* client, std::string name);

  std::uint64_t directory_ = 0;
  std::map<std::string, File> files_;
  std::uint64_t next_file_ = 0;
};

Task<void> FilesWorkload::run(client::ClientStack* client) {
  for (auto& [name, file] : files_) {
    if (!file.exists || file.maybe || file.maybe_gone) file.left_alone = true;
  }
  if (directory_ == 0) directory_ = co_await need_directory(client, name_);
  std::vector<Task<int>> workers;
  for (int i = 0; i < kWorkers; ++i) workers.push_back(work(client));
  (void)co_await when_all(std::move(workers));
}

Task<int> FilesWorkload::work(client::ClientStack* client) {
  std::vector<std::string> mine;
  while (!stopping()) {
    std::erase_if(mine, [&](const std::string& name) { return files_[name].left_alone; });
    if (mine.size() < 3) {
      mine.push_back("file-" + std::to_string(next_file_++));
      files_[mine.back()];
    }
    const std::size_t chosen = random_.below(mine.size());
    const std::string name = mine[chosen];
    if (files_[name].exists && random_.below(6) == 0) {
      mine.erase(mine.begin() + static_cast<std::ptrdiff_t>(chosen));
      co_await unlink(client, name);
    } else {
      co_await edit(client, name);
    }
    co_await think();
  }
  co_return 0;
}

// Writes and truncations as one open file sees them.
Task<Status> FilesWorkload::change(client::ClientStack* client, client::FileHandlePtr handle,
                                   std::string* content) {
  const std::uint64_t writes = 1 + random_.below(4);
  for (std::uint64_t i = 0; i < writes; ++i) {
    if (random_.below(8) == 0 && !content->empty()) {
      const std::uint64_t size = random_.below(content->size());
      proto::SetAttributes request;
      request.set_inode(handle->inode().value());
      request.set_set_size(true);
      request.set_size(size);
      const auto cut = co_await client->files().set_attributes(std::move(request));
      if (!cut.ok()) co_return cut.status();
      content->resize(size);
      continue;
    }
    const std::uint64_t offset =
        random_.below(std::min<std::uint64_t>(content->size() + 10'000, kMaxFileBytes));
    const Buffer bytes = content_of(random_.next(), 1, 1 + random_.below(20'000));
    if (content->size() < offset + bytes.size()) content->resize(offset + bytes.size(), '\0');
    std::memcpy(content->data() + offset, bytes.data(), bytes.size());
    BufferList data(1, bytes);
    const auto written = co_await client->files().write(handle, offset, std::move(data), false);
    if (!written.ok()) co_return written.status();
  }
  co_return OkStatus();
}

Task<Status> FilesWorkload::read_back(client::ClientStack* client, client::FileHandlePtr handle,
                                      const std::string* content) {
  const auto read = co_await client->files().read(handle, 0, 1 << 20);
  if (!read.ok()) co_return read.status();
  if (flatten(*read).view() != *content) {
    breach("a client does not read what it wrote: " + std::to_string(total_size(*read)) +
           " bytes instead of " + std::to_string(content->size()));
  }
  co_return OkStatus();
}

Task<void> FilesWorkload::edit(client::ClientStack* client, std::string name) {
  proto::CreateFile request;
  request.set_parent(directory_);
  request.set_name(name);
  request.set_type(proto::REGULAR);
  request.set_mode(0644);
  auto opened = co_await client->files().create_and_open(std::move(request), false);
  if (!opened.ok()) {
    // Nothing was written: if it was there before, it is as it was.
    files_[name].left_alone = !files_[name].exists;
    co_return;
  }
  files_[name].exists = true;
  std::string content = files_[name].flushed;
  if (opened->attributes.size() != content.size()) {
    breach("'" + name + "' has " + std::to_string(opened->attributes.size()) + " bytes, " +
           std::to_string(content.size()) + " were flushed");
  }
  // A truncation is a command of its own: from here on the outcome is known at the end alone.
  files_[name].maybe = content;
  Status done = co_await change(client, opened->handle, &content);
  files_[name].maybe = content;
  if (done.ok() && random_.below(2) == 0) {
    const Status read = co_await read_back(client, opened->handle, &content);
    (void)read;  // a read may fail while there are faults
  }
  if (done.ok()) done = co_await client->files().flush(opened->handle);
  const Status released = co_await client->files().release(opened->handle);
  File& file = files_[name];
  if (done.ok()) {
    file.flushed = content;
    file.maybe.reset();
    note_acknowledged(name);
  } else {
    file.left_alone = true;
    // A flush that failed may be made good by the release.
    if (released.ok()) file.maybe = content;
  }
}

Task<void> FilesWorkload::unlink(client::ClientStack* client, std::string name) {
  files_[name].maybe_gone = true;
  const Status gone = co_await client->files().unlink(InodeId(directory_), name);
  if (gone.ok()) {
    files_[name].unlinked = true;
    note_acknowledged(name);
  } else if (gone.code() == StatusCode::kNotFound) {
    breach("'" + name + "' was unlinked twice");
  }
  files_[name].left_alone = true;
}

Task<void> FilesWorkload::check_file(client::ClientStack* client, std::string name) {
  const File file = files_[name];
  const auto found = co_await client->files().lookup(InodeId(directory_), name);
  if (!found.ok()) {
    if (found.status().code() != StatusCode::kNotFound) {
      breach("'" + name + "' cannot be looked up: " + found.status().to_string());
    } else if (file.exists && !file.maybe_gone) {
      breach("'" + name + "' was made and is gone");
    }
    co_return;
  }
  if (file.unlinked) breach("'" + name + "' was unlinked and is back");
  auto opened = co_await client->files().open(InodeId(found->inode()), false);
  if (!opened.ok()) {
    breach("'" + name + "' cannot be opened: " + opened.status().to_string());
    co_return;
  }
  const auto read = co_await client->files().read(opened->handle, 0, 1 << 20);
  (void)co_await client->files().release(opened->handle);
  if (!read.ok()) {
    breach("'" + name + "' cannot be read: " + read.status().to_string());
    co_return;
  }
  const Buffer bytes = flatten(*read);
  // After a failed round of truncations and writes anything between is possible: only the rest is
  // held to its bytes.
  if (file.maybe || bytes.view() == file.flushed) co_return;
  breach("'" + name + "' holds other bytes than were flushed: " + std::to_string(bytes.size()) +
         ", " + std::to_string(file.flushed.size()) + " were flushed");
}

Task<void> FilesWorkload::check(client::ClientStack* client) {
  std::vector<std::string> names;
  for (const auto& [name, file] : files_) names.push_back(name);
  for (const std::string& name : names) co_await check_file(client, name);
}

}  // namespace

std::unique_ptr<Workload> make_files_workload(SimCluster& cluster, std::string name,
                                              std::uint64_t seed) {
  return std::make_unique<FilesWorkload>(cluster, std::move(name), seed);
}

}  // namespace shoal::sim
