#include "tools/bench/index_load.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "base/encoding.h"
#include "base/io/uring_device.h"
#include "base/memory.h"
#include "base/program.h"
#include "tools/json.h"

namespace shoal::tools {
namespace {

constexpr std::uint64_t kFilesPerDirectory = 1000;
constexpr std::uint32_t kFileBytes = 4096;
constexpr std::uint32_t kFilesPerRow = 64;
constexpr std::uint64_t kFilesPerPack = 64 * 1024;
constexpr std::uint64_t kCommandsPerCheckpoint = 300'000;
constexpr std::uint32_t kWriters = 64;
constexpr char kBucket[] = "bench";

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

std::string file_name(std::uint64_t number) {
  char name[32];
  std::snprintf(name, sizeof name, "file-%011llu.dat", static_cast<unsigned long long>(number));
  return name;
}
std::string directory_name(std::uint64_t number) {
  return "directory-" + std::to_string(number / kFilesPerDirectory);
}

void add_extent(std::uint64_t number, std::uint64_t pack,
                google::protobuf::RepeatedPtrField<proto::ExtentProto>* extents) {
  proto::ExtentProto* extent = extents->Add();
  extent->set_length(kFileBytes);
  extent->set_pack(pack);
  extent->set_row(static_cast<std::uint32_t>(number % kFilesPerPack) / kFilesPerRow);
  extent->set_column(static_cast<std::uint32_t>(number % 4));
  extent->set_column_offset(static_cast<std::uint32_t>(number % kFilesPerRow / 4) * kFileBytes);
  extent->set_crc32c(static_cast<std::uint32_t>(number * 0x9e3779b9));
}

proto::Command make_directory(std::uint64_t number) {
  proto::Command command;
  command.mutable_create_file()->set_parent(kRootInode.value());
  command.mutable_create_file()->set_name(directory_name(number));
  command.mutable_create_file()->set_type(proto::DIRECTORY);
  command.mutable_create_file()->set_mode(0755);
  return command;
}
proto::Command make_file(std::uint64_t number, std::uint64_t directory) {
  proto::Command command;
  command.mutable_create_file()->set_parent(directory);
  command.mutable_create_file()->set_name(file_name(number));
  command.mutable_create_file()->set_type(proto::REGULAR);
  command.mutable_create_file()->set_mode(0644);
  command.mutable_create_file()->mutable_owner()->set_uid(1000);
  command.mutable_create_file()->mutable_owner()->set_gid(1000);
  return command;
}
proto::Command make_commit(std::uint64_t number, std::uint64_t inode, std::uint64_t pack) {
  proto::Command command;
  command.mutable_commit_data()->set_inode(inode);
  command.mutable_commit_data()->set_size_at_least(kFileBytes);
  add_extent(number, pack, command.mutable_commit_data()->mutable_extents());
  return command;
}
proto::Command make_object(std::uint64_t number, std::uint64_t pack) {
  proto::Command command;
  proto::PutObject* op = command.mutable_put_object();
  op->set_bucket(kBucket);
  op->set_key(directory_name(number) + "/" + file_name(number));
  op->set_size(kFileBytes);
  add_extent(number, pack, op->mutable_extents());
  std::string digest(16, static_cast<char>(number));
  for (int i = 0; i < 8; ++i)
    digest[static_cast<std::size_t>(i)] = static_cast<char>(number >> 8 * i);
  op->mutable_object()->set_etag(hex_encode(digest));
  (*op->mutable_object()->mutable_headers())["content-type"] = "binary/octet-stream";
  return command;
}
proto::Command make_lease() {
  proto::Command command;
  command.mutable_lease_packs()->set_count(1);
  return command;
}

// A cluster of six drives, a session and a bucket.
std::vector<proto::Command> make_beginning() {
  std::vector<proto::Command> commands(3);
  proto::ClusterMapProto* map = commands[0].mutable_set_cluster_map()->mutable_map();
  map->set_epoch(1);
  for (std::uint32_t i = 1; i <= 6; ++i) map->add_drives()->set_id(i);
  proto::PlacementGroupProto* group = map->add_groups();
  group->set_id(1);
  group->set_k(4);
  group->set_m(2);
  group->set_matrix(1);
  for (std::uint32_t i = 1; i <= 6; ++i) group->add_drives(i);
  commands[1].mutable_open_session()->set_slot_count(kWriters);
  commands[2].mutable_create_bucket()->set_name(kBucket);
  return commands;
}

// Applies commands to a state machine of its own, with checkpoints as the service takes them.
class Filler {
 public:
  explicit Filler(metad::CheckpointStore& store) : store_(store) {}

  Status fill(const IndexLoadOptions& options) {
    const auto begin = Clock::now();
    for (proto::Command& command : make_beginning()) {
      ASSIGN_OR_RETURN(const proto::CommandReply reply, run(&command));
      if (reply.has_open_session()) session_ = reply.open_session().session();
    }
    for (std::uint64_t number = 0; number < options.files; ++number)
      RETURN_IF_ERROR(options.objects ? add_object(number) : add_file(number));
    apply_seconds = seconds_since(begin) - checkpoint_seconds;
    return checkpoint();
  }
  Status checkpoint();
  metad::StateMachine& machine() { return *machine_; }

  double apply_seconds = 0;
  double checkpoint_seconds = 0;
  double longest_checkpoint_seconds = 0;
  double longest_slice_seconds = 0;
  std::uint64_t checkpoints = 0;

 private:
  Result<proto::CommandReply> run(proto::Command* command) {
    command->set_session(command->has_set_cluster_map() ? 0 : session_);
    command->set_sequence(++position_);
    // A millisecond after the other, as their clocks would say.
    command->set_time_ns(1'700'000'000'000'000'000 +
                         static_cast<std::int64_t>(position_) * 1'000'003);
    proto::CommandReply reply = machine_->apply(*command, position_);
    if (reply.status().code() != 0)
      return InternalError("filling the index: " + reply.status().message());
    if (position_ % kCommandsPerCheckpoint == 0) RETURN_IF_ERROR(checkpoint());
    return reply;
  }
  Status need_pack(std::uint64_t number) {
    if (number % kFilesPerPack != 0) return OkStatus();
    if (pack_ != 0) {
      proto::Command close;
      close.mutable_close_pack()->add_packs(pack_);
      RETURN_IF_ERROR(run(&close).status());
    }
    proto::Command lease = make_lease();
    ASSIGN_OR_RETURN(const proto::CommandReply reply, run(&lease));
    pack_ = reply.lease_packs().leases(0).pack();
    return OkStatus();
  }
  Status add_file(std::uint64_t number) {
    RETURN_IF_ERROR(need_pack(number));
    if (number % kFilesPerDirectory == 0) {
      proto::Command directory = make_directory(number);
      ASSIGN_OR_RETURN(const proto::CommandReply made, run(&directory));
      directory_ = made.file().attributes().inode();
    }
    proto::Command file = make_file(number, directory_);
    ASSIGN_OR_RETURN(const proto::CommandReply made, run(&file));
    proto::Command commit = make_commit(number, made.file().attributes().inode(), pack_);
    return run(&commit).status();
  }
  Status add_object(std::uint64_t number) {
    RETURN_IF_ERROR(need_pack(number));
    proto::Command command = make_object(number, pack_);
    return run(&command).status();
  }

  metad::CheckpointStore& store_;
  std::unique_ptr<metad::StateMachine> machine_ = metad::make_state_machine();
  std::uint64_t position_ = 0;
  std::uint64_t session_ = 0;
  std::uint64_t pack_ = 0;
  std::uint64_t directory_ = 0;
};

Status Filler::checkpoint() {
  const auto begin = Clock::now();
  metad::CheckpointChanges changes;
  for (bool more = true; more;) {
    const auto slice = Clock::now();
    more = machine_->drain_changes(
        metad::kCheckpointSliceRecords,
        [&](std::string_view key, const std::string* value) { changes.add(key, value); });
    longest_slice_seconds = std::max(longest_slice_seconds, seconds_since(slice));
  }
  const Status written = store_.write(changes, machine_->applied_position());
  ++checkpoints;
  checkpoint_seconds += seconds_since(begin);
  longest_checkpoint_seconds = std::max(longest_checkpoint_seconds, seconds_since(begin));
  return written;
}

std::string checkpoint_path(const IndexLoadOptions& options) {
  return options.data + "/checkpoint";
}

void add_memory(const proto::MetadataStatus& status, std::uint64_t resident_before,
                IndexFigures* figures) {
  release_free_memory();
  const auto files = static_cast<double>(std::max<std::uint64_t>(status.inode_count(), 1));
  const std::uint64_t resident = resident_bytes(getpid());
  figures->emplace_back("index_bytes", static_cast<double>(status.index_bytes()));
  figures->emplace_back("index_bytes_per_file", static_cast<double>(status.index_bytes()) / files);
  figures->emplace_back(
      "resident_bytes_per_file",
      static_cast<double>(resident - std::min(resident, resident_before)) / files);
}

// The metadata's service on the directory of the load, for the time of `work`.
template <typename Work>
Status with_server(const IndexLoadOptions& options, const Work& work) {
  ASSIGN_OR_RETURN(const auto loop, EventLoop::create("shoal-index"));
  ASSIGN_OR_RETURN(const auto io, IoContext::create(*loop));
  loop->start();
  Status status;
  auto journal =
      sync_wait(*loop, FileDirectory::open_when_free(*io, options.data + "/journal", true));
  if (journal.ok()) {
    metad::MetadataOptions chosen;
    chosen.checkpoint_path = checkpoint_path(options);
    chosen.checkpoint_after_bytes = UINT64_MAX;
    const auto begin = Clock::now();
    auto server =
        sync_wait(*loop, metad::MetadataServer::open(**journal, io->pool(), std::move(chosen)));
    status = server.ok() ? work(*loop, **server, seconds_since(begin)) : server.status();
    if (server.ok()) {
      const Status closed = sync_wait(*loop, (*server)->close());
      if (status.ok()) status = closed;
      server->reset();
    }
    journal->reset();
  } else {
    status = journal.status();
  }
  loop->stop();
  loop->join();
  return status;
}

struct TailWriter {
  metad::MetadataServer* server;
  std::uint64_t session;
  std::uint64_t pack;
  std::uint64_t directory;
  std::uint64_t first;
  std::uint64_t last;
  Status failed;

  Task<Result<proto::CommandReply>> run(proto::Command command, std::uint32_t slot,
                                        std::uint64_t sequence) {
    command.set_session(session);
    command.set_slot(slot);
    command.set_sequence(sequence);
    auto reply = co_await server->execute(std::move(command), MonotonicTime::max());
    if (reply.ok() && reply->status().code() != 0)
      co_return InternalError("the tail: " + reply->status().message());
    co_return reply;
  }
  // Every kWriters-th file from `slot` on; slot 0 has sent two commands before.
  Task<void> write(std::uint32_t slot) {
    std::uint64_t sequence = 2;
    for (std::uint64_t number = first + slot; number < last && failed.ok(); number += kWriters) {
      const auto made = co_await run(make_file(number, directory), slot, ++sequence);
      if (!made.ok()) {
        failed = made.status();
        break;
      }
      const std::uint64_t inode = made->file().attributes().inode();
      const auto committed = co_await run(make_commit(number, inode, pack), slot, ++sequence);
      if (!committed.ok()) failed = committed.status();
    }
  }
  Task<Status> write_all() {
    proto::Command open;
    open.mutable_open_session()->set_slot_count(kWriters);
    const auto opened = co_await server->execute(std::move(open), MonotonicTime::max());
    if (!opened.ok()) co_return opened.status();
    session = opened->open_session().session();
    const auto leased = co_await run(make_lease(), 0, 1);
    if (!leased.ok()) co_return leased.status();
    pack = leased->lease_packs().leases(0).pack();
    const auto made = co_await run(make_directory(last + kFilesPerDirectory), 0, 2);
    if (!made.ok()) co_return made.status();
    directory = made->file().attributes().inode();
    TaskScope scope;
    for (std::uint32_t slot = 0; slot < kWriters; ++slot) scope.spawn(write(slot));
    co_await scope.join();
    co_return failed;
  }
};

}  // namespace

Result<IndexFigures> fill_index(const IndexLoadOptions& options) {
  ASSIGN_OR_RETURN(const auto store, metad::CheckpointStore::open(checkpoint_path(options)));
  if (store->position())
    return AlreadyExistsError(options.data + " holds an index already: name an empty directory");
  const std::uint64_t resident = resident_bytes(getpid());
  Filler filler(*store);
  RETURN_IF_ERROR(filler.fill(options));
  IndexFigures figures;
  figures.emplace_back("apply_seconds", filler.apply_seconds);
  figures.emplace_back("checkpoints", static_cast<double>(filler.checkpoints));
  figures.emplace_back("checkpoint_seconds", filler.checkpoint_seconds);
  figures.emplace_back("longest_checkpoint_seconds", filler.longest_checkpoint_seconds);
  figures.emplace_back("longest_slice_ms", filler.longest_slice_seconds * 1000);
  proto::MetadataStatus status;
  filler.machine().fill_status(&status);
  add_memory(status, resident, &figures);
  return figures;
}

Result<IndexFigures> add_tail(const IndexLoadOptions& options) {
  return with_server(
      options, [&](EventLoop& loop, metad::MetadataServer& server, double) -> Status {
        TailWriter writer{&server,   0, 0, 0, options.files, options.files + options.tail_files,
                          OkStatus()};
        RETURN_IF_ERROR(sync_wait(loop, writer.write_all()));
        _exit(kExitOk);  // as a crash: what is in the journal only stays there
      });
}

Result<IndexFigures> start_index(const IndexLoadOptions& options) {
  IndexFigures figures;
  const std::uint64_t resident = resident_bytes(getpid());
  RETURN_IF_ERROR(with_server(options, [&](EventLoop& loop, metad::MetadataServer& server,
                                           double seconds) {
    figures.emplace_back("start_seconds", seconds);
    proto::Query query;
    query.mutable_get_status();
    const auto reply = sync_wait(loop, server.query(std::move(query), MonotonicTime::max()));
    if (!reply.ok()) return reply.status();
    const proto::MetadataStatus& status = reply->metadata_status();
    figures.emplace_back("started_inodes", static_cast<double>(status.inode_count()));
    figures.emplace_back(
        "replayed", static_cast<double>(status.journal_position() - status.checkpoint_position()));
    IndexFigures memory;
    add_memory(status, resident, &memory);
    for (auto& [name, value] : memory) figures.emplace_back("started_" + name, value);
    return OkStatus();
  }));
  return figures;
}

}  // namespace shoal::tools
