// MachineCluster: a whole cluster in one thread and virtual time: the real metadata state machine,
// fake drives, a user's client and a worker's with a repacker, and a collector of dead packs.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/async/manual_executor.h"
#include "client/background/make_worker.h"
#include "client/background/repacker.h"
#include "tests/support/fake_metadata_client.h"
#include "tests/support/fake_storage.h"
#include "tests/support/machine_metadata.h"

namespace shoal::test {

inline client::RepackLimits eager_repack() {
  client::RepackLimits limits;
  limits.min_gain_bytes = 1;
  limits.min_gain_of_pool_permille = 0;
  limits.bytes_per_second = 1 << 30;
  return limits;
}

class MachineCluster {
 public:
  explicit MachineCluster(ClusterMap map, client::RepackLimits limits = eager_repack())
      : map_(std::move(map)), metadata(map_) {
    storage.add_drives(static_cast<std::uint32_t>(map_.drives.size()));
    user_ = open("user", {});
    worker_ = open("worker", client::worker_writer_limits());
    repacker = std::make_unique<client::Repacker>(
        client::RepackerOptions{worker_->metadata(), worker_->router(), worker_->writer(),
                                worker_->reader(), executor, limits});
    CHECK(run(user_->objects().create_bucket("bucket", {})).ok());
  }
  ~MachineCluster() {
    repacker.reset();
    CHECK(run(worker_->close()).ok());
    CHECK(run(user_->close()).ok());
    worker_.reset();
    user_.reset();
    executor.run_until_idle();
  }

  template <typename T>
  T run(Task<T> task) {
    return executor.run(std::move(task));
  }
  client::ClientStack& user() { return *user_; }
  client::ClientStack& worker() { return *worker_; }

  // The user's packs are given back, so that they can be repacked and collected.
  void close_packs() {
    CHECK(run(user_->close()).ok());
    user_ = open("user", {});
  }
  // Long enough for a client to give idle packs back.
  void wait() { run(nap(std::chrono::seconds(100))); }
  // Passes until one moves nothing.
  proto::TaskReport repack() {
    client::WorkControl control(executor);
    proto::TaskReport before;
    proto::TaskReport after;
    do {
      before = after;
      run(repacker->pass(&control));
      repacker->report(&after);
    } while (after.moved_bytes() != before.moved_bytes());
    return after;
  }
  // As metad's collector, and its reaper.
  void collect() {
    proto::Command reap;
    for (const InodeId id : metadata.machine().orphans())
      reap.mutable_reap_orphans()->add_inodes(id.value());
    if (reap.has_reap_orphans()) metadata.apply(std::move(reap));
    for (const proto::PackRecord& pack : packs()) {
      if (pack.state() != proto::PACK_CLOSED || pack.live_bytes() > 0) continue;
      run(drop(PackId(pack.pack()), pack.epoch()));
      proto::Command command;
      command.mutable_pack_deleted()->set_pack(pack.pack());
      metadata.apply(std::move(command));
    }
  }
  std::vector<proto::PackRecord> packs() {
    proto::Query query;
    query.mutable_list_packs()->set_limit(10'000);
    const proto::QueryReply reply = metadata.ask(query);
    return {reply.list_packs().packs().begin(), reply.list_packs().packs().end()};
  }
  std::uint64_t live_bytes() {
    std::uint64_t bytes = 0;
    for (const proto::PackRecord& pack : packs()) bytes += pack.live_bytes();
    return bytes;
  }
  // Payload of all fragments.
  std::uint64_t raw_bytes() {
    std::uint64_t bytes = 0;
    for (const DriveInfo& drive : map_.drives) {
      for (const auto& [key, fragment] : storage.fragments(drive.id))
        bytes += fragment.bytes.size();
    }
    return bytes;
  }

  // --- objects of one bucket
  void put(const std::string& key, const std::string& body) {
    const auto stat = run(put_task(user_.get(), key, body));
    CHECK(stat.ok());
  }
  // Side by side: they share rows.
  void put_all(const std::map<std::string, std::string>& objects) {
    std::vector<Task<Result<client::ObjectStat>>> puts;
    for (const auto& [key, body] : objects) puts.push_back(put_task(user_.get(), key, body));
    for (const auto& stat : run(when_all(std::move(puts)))) CHECK(stat.ok());
  }
  // The bytes, or why not.
  Result<std::string> get(const std::string& key) { return run(get_task(user_.get(), key)); }
  std::string etag(const std::string& key) {
    const auto stat = run(user_->objects().head_object("bucket", key, {}));
    return stat.ok() ? stat->object.etag() : "";
  }
  void remove(const std::string& key) {
    CHECK(run(user_->objects().delete_objects("bucket", {key}, {})).ok());
  }
  void copy(const std::string& from, const std::string& to) {
    proto::CopyObject request;
    request.set_source_bucket("bucket");
    request.set_source_key(from);
    request.set_bucket("bucket");
    request.set_key(to);
    CHECK(run(user_->objects().copy_object(request)).ok());
  }
  std::vector<Extent> extents(const std::string& key) {
    proto::Query query;
    query.mutable_get_object()->set_bucket("bucket");
    query.mutable_get_object()->set_key(key);
    query.mutable_get_object()->set_with_extents(true);
    auto extents = wire::extents_from_proto(metadata.ask(query).object().extents());
    CHECK(extents.ok());
    return *extents;
  }

  // --- files in the bucket's directory
  client::FileHandlePtr open_file(const std::string& name) {
    const InodeId bucket(run(user_->objects().head_bucket("bucket"))->inode());
    proto::CreateFile request;
    request.set_parent(bucket.value());
    request.set_name(name);
    request.set_type(proto::REGULAR);
    request.set_mode(0644);
    auto opened = run(user_->files().create_and_open(request, false));
    CHECK(opened.ok());
    return opened->handle;
  }
  // Written and made durable.
  void write(const client::FileHandlePtr& file, std::uint64_t offset, const std::string& bytes) {
    BufferList data{Buffer::copy_of(bytes)};
    CHECK(run(user_->files().write(file, offset, std::move(data), false)).ok());
    CHECK(run(user_->files().flush(file)).ok());
  }
  void truncate(const client::FileHandlePtr& file, std::uint64_t size) {
    proto::SetAttributes request;
    request.set_inode(file->inode().value());
    request.set_set_size(true);
    request.set_size(size);
    CHECK(run(user_->files().set_attributes(request)).ok());
  }
  Result<std::string> read(const client::FileHandlePtr& file) {
    auto bytes = run(user_->files().read(file, 0, 64 << 20));
    if (!bytes.ok()) return bytes.status();
    return std::string(flatten(*bytes).view());
  }
  void close(client::FileHandlePtr file) { CHECK(run(user_->files().release(file)).ok()); }

  static Task<Result<client::ObjectStat>> put_task(client::ClientStack* stack, std::string key,
                                                   std::string body) {
    const auto writer = stack->objects().create_writer(body.size());
    CO_RETURN_IF_ERROR(co_await writer->append(Buffer::copy_of(body)));
    proto::ObjectMeta object;
    object.set_etag("etag-of-" + std::to_string(body.size()));
    client::ObjectTarget target{"bucket", std::move(key)};
    co_return co_await writer->commit_object(std::move(target), std::move(object), {}, {});
  }
  static Task<Result<std::string>> read_all(client::ObjectReader* reader) {
    std::string body;
    while (true) {
      const auto piece = co_await reader->next();
      if (!piece.ok()) co_return piece.status();
      if (piece->empty()) co_return body;
      body.append(piece->view());
    }
  }
  static Task<Result<std::string>> get_task(client::ClientStack* stack, std::string key) {
    const auto opened = co_await stack->objects().open_object("bucket", key, {}, std::nullopt);
    if (!opened.ok()) co_return opened.status();
    co_return co_await read_all(opened->reader.get());
  }

 private:
  std::unique_ptr<client::ClientStack> open(const std::string& name,
                                            client::PackWriterLimits writer) {
    const auto factory = [this](const DriveInfo&) -> Result<StorageApi*> { return &storage; };
    auto opened = run(client::ClientStack::open(metadata, factory, executor, name, writer));
    CHECK(opened.ok());
    return std::move(*opened);
  }
  static Task<void> nap(Duration duration) { co_await sleep_for(duration); }
  Task<void> drop(PackId pack, std::uint64_t epoch) {
    const std::vector<DriveId> drives = map_.group(pg_of_pack(pack))->drives;
    for (const DriveId drive : drives) {
      const Status sealed = co_await storage.seal_pack(drive, pack, epoch, MonotonicTime::max());
      const Status deleted = co_await storage.delete_pack(drive, pack, MonotonicTime::max());
      CHECK(sealed.ok() && deleted.ok());
    }
  }

  const ClusterMap map_;

 public:
  VirtualClock clock;
  ManualExecutor executor{clock};
  FakeStorage storage;
  MachineMetadata metadata;
  std::unique_ptr<client::Repacker> repacker;

 private:
  std::unique_ptr<client::ClientStack> user_;
  std::unique_ptr<client::ClientStack> worker_;
};

}  // namespace shoal::test
