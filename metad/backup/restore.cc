#include "metad/backup/restore.h"

#include <filesystem>

#include "base/file_io.h"
#include "metad/backup/dump_stream.h"
#include "metad/checkpoint/checkpoint_store.h"
#include "metad/state/state_machine.h"

namespace shoal::metad {
namespace {

constexpr std::uint64_t kRecordsPerWrite = 100'000;

Status check_empty(const std::string& metad_path) {
  for (const char* part : {"/checkpoint", "/journal"}) {
    std::error_code error;
    if (std::filesystem::directory_iterator(metad_path + part, error) ==
        std::filesystem::directory_iterator())
      continue;  // empty, or not there
    return AlreadyExistsError(metad_path + part +
                              " holds metadata already; a dump is loaded only where there is "
                              "none: move it away first");
  }
  return OkStatus();
}

// Into the machine and into the store.
Status take_records(DumpReader* reader, StateMachine* machine, CheckpointStore* store) {
  CheckpointChanges changes;
  std::uint64_t count = 0;
  machine->begin_load();
  const Status taken = reader->read([&](std::string_view key, std::string_view value) -> Status {
    RETURN_IF_ERROR(machine->load_record(key, value));
    const std::string kept(value);
    changes.add(key, &kept);
    if (++count % kRecordsPerWrite != 0) return OkStatus();
    RETURN_IF_ERROR(store->write(changes, reader->position()));
    changes = CheckpointChanges();
    return OkStatus();
  });
  RETURN_IF_ERROR(taken);
  RETURN_IF_ERROR(machine->finish_load(reader->position()));
  return store->write(changes, reader->position());
}

std::uint64_t count_kept(StateMachine* machine) {
  std::uint64_t kept = 0;
  proto::Query query;
  query.mutable_list_packs()->set_limit(1000);
  for (bool more = true; more;) {
    proto::QueryReply reply;
    machine->query(query, &reply);
    more = reply.list_packs().more();
    for (const proto::PackRecord& pack : reply.list_packs().packs()) {
      kept += pack.kept() ? 1 : 0;
      query.mutable_list_packs()->set_after(pack.pack());
    }
  }
  return kept;
}

}  // namespace

Result<RestoreReport> restore_dump(int fd, const std::string& name, const std::string& metad_path,
                                   const std::string& cluster_uuid) {
  RETURN_IF_ERROR(check_empty(metad_path));
  DumpReader reader(fd, name);
  RETURN_IF_ERROR(reader.begin());
  const std::string loading = metad_path + "/checkpoint.loading";
  std::error_code error;
  std::filesystem::remove_all(loading, error);
  if (!error) std::filesystem::create_directories(metad_path, error);
  if (error) return ErrnoError(error.value(), loading);
  const std::unique_ptr<StateMachine> machine = make_state_machine();
  RestoreReport report;
  {
    ASSIGN_OR_RETURN(const auto store, CheckpointStore::open(loading));
    RETURN_IF_ERROR(take_records(&reader, machine.get(), store.get()));
    const std::string& dumped = machine->cluster_map().cluster_uuid;
    if (dumped != cluster_uuid)
      return InvalidArgumentError(name + " is a dump of cluster " + dumped + ", not of " +
                                  cluster_uuid);
    RETURN_IF_ERROR(machine->become_restored());
    CheckpointChanges changes;
    while (machine->drain_changes(
        kRecordsPerWrite,
        [&](std::string_view key, const std::string* value) { changes.add(key, value); })) {
    }
    RETURN_IF_ERROR(store->write(changes, reader.position()));
  }
  std::filesystem::remove_all(metad_path + "/checkpoint", error);  // empty: checked above
  if (!error) std::filesystem::rename(loading, metad_path + "/checkpoint", error);
  if (error) return ErrnoError(error.value(), "renaming " + loading);
  RETURN_IF_ERROR(sync_directory(metad_path));
  proto::MetadataStatus status;
  machine->fill_status(&status);
  report.records = reader.records();
  report.position = reader.position();
  report.inodes = status.inode_count();
  report.kept_packs = count_kept(machine.get());
  return report;
}

}  // namespace shoal::metad
