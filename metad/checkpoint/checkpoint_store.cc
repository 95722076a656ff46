#include "metad/checkpoint/checkpoint_store.h"

#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

namespace shoal::metad {
namespace {

constexpr char kPositionKey[] = "\x01position";
constexpr std::size_t kMemoryBytes = 16 << 20;

Status to_status(const rocksdb::Status& status, std::string_view what) {
  if (status.ok()) return OkStatus();
  const std::string text = std::string(what) + ": " + status.ToString();
  if (status.IsCorruption()) return CorruptionError(text);
  if (status.IsNoSpace()) return NoSpaceError(text);
  if (status.IsBusy()) return BusyError(text);
  return IoError(text);
}

rocksdb::Options make_options() {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.write_buffer_size = kMemoryBytes;
  options.max_write_buffer_number = 2;
  options.max_background_jobs = 1;
  options.keep_log_file_num = 2;
  options.max_log_file_size = 1 << 20;
  options.info_log_level = rocksdb::WARN_LEVEL;
  options.use_fsync = true;
  rocksdb::BlockBasedTableOptions table;
  table.no_block_cache = true;  // read once, at the start
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

class RocksStore final : public CheckpointStore {
 public:
  explicit RocksStore(std::unique_ptr<rocksdb::DB> db) : db_(std::move(db)) {}
  Result<std::uint64_t> load(const Visit& visit) override;
  Status write(const std::vector<Change>& changes, std::uint64_t applied_position) override;

 private:
  std::unique_ptr<rocksdb::DB> db_;
};

Result<std::uint64_t> RocksStore::load(const Visit& visit) {
  rocksdb::ReadOptions options;
  options.verify_checksums = true;
  options.fill_cache = false;
  options.readahead_size = 4 << 20;
  std::uint64_t position = 0;
  std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator(options));
  for (at->SeekToFirst(); at->Valid(); at->Next()) {
    const rocksdb::Slice key = at->key();
    const rocksdb::Slice value = at->value();
    if (key == kPositionKey) {
      position = std::strtoull(value.ToString().c_str(), nullptr, 10);
      continue;
    }
    RETURN_IF_ERROR(visit({key.data(), key.size()}, {value.data(), value.size()}));
  }
  RETURN_IF_ERROR(to_status(at->status(), "reading the checkpoint"));
  return position;
}

Status RocksStore::write(const std::vector<Change>& changes, std::uint64_t applied_position) {
  rocksdb::WriteBatch batch;
  for (const auto& [key, value] : changes) {
    const rocksdb::Status put = value ? batch.Put(key, *value) : batch.Delete(key);
    RETURN_IF_ERROR(to_status(put, "collecting the checkpoint"));
  }
  RETURN_IF_ERROR(to_status(batch.Put(kPositionKey, std::to_string(applied_position)),
                            "collecting the checkpoint"));
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  RETURN_IF_ERROR(to_status(db_->Write(options, &batch), "writing the checkpoint"));
  return to_status(db_->Flush(rocksdb::FlushOptions()), "flushing the checkpoint");
}

}  // namespace

Result<std::unique_ptr<CheckpointStore>> CheckpointStore::open(const std::string& path) {
  rocksdb::DB* db = nullptr;
  const rocksdb::Status opened = rocksdb::DB::Open(make_options(), path, &db);
  RETURN_IF_ERROR(to_status(opened, "checkpoint " + path));
  return std::unique_ptr<CheckpointStore>(
      std::make_unique<RocksStore>(std::unique_ptr<rocksdb::DB>(db)));
}

}  // namespace shoal::metad
