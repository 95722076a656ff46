#include "metad/checkpoint/checkpoint_store.h"

#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <sys/stat.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <mutex>
#include <thread>

#include "base/file_io.h"
#include "base/io/blocking_pool.h"
#include "metad/state/record_key.h"
#include "metad/state/state_machine.h"

namespace shoal::metad {
namespace {

constexpr char kPositionKey[] = "\x01position";
constexpr char kFirstRecord[] = "\x02";  // records begin with a letter
constexpr char kFormatFile[] = "/FORMAT";
constexpr std::string_view kFormatText = "shoal checkpoint, format version ";
constexpr std::size_t kMemoryBytes = 16 << 20;
constexpr std::size_t kBlockBytes = 32 << 10;  // read one after the other, never one alone
// Ranges of one letter for each thread: enough that none waits long for another at the end.
constexpr std::uint64_t kRangesPerThread = 64;

Status to_status(const rocksdb::Status& status, const std::string& what) {
  if (status.ok()) return OkStatus();
  const std::string text = what + ": " + status.ToString();
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
  options.level_compaction_dynamic_level_bytes = true;
  options.keep_log_file_num = 2;
  options.max_log_file_size = 1 << 20;
  options.info_log_level = rocksdb::WARN_LEVEL;
  options.use_fsync = true;
  // Else it all goes to the device at the end, in the way of the journal's flushes.
  options.bytes_per_sync = 1 << 20;
  rocksdb::BlockBasedTableOptions table;
  table.no_block_cache = true;  // read once, at the start
  table.block_size = kBlockBytes;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

// A checkpoint of the first format had no such file.
Status check_format(const std::string& path) {
  struct stat st {};
  const bool exists = stat((path + "/CURRENT").c_str(), &st) == 0;
  auto text = read_file(path + kFormatFile);
  if (text.status().code() == StatusCode::kNotFound && !exists) {
    if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST)
      return ErrnoError(errno, "checkpoint " + path);
    return write_file_durably(
        path + kFormatFile, std::string(kFormatText) + std::to_string(kRecordFormatVersion) + "\n",
        0644);
  }
  std::uint32_t version = 1;
  if (text.ok()) {
    const std::size_t digits = text->starts_with(kFormatText) ? kFormatText.size() : text->size();
    const auto parsed =
        std::from_chars(text->data() + digits, text->data() + text->size(), version);
    if (parsed.ec != std::errc())
      return CorruptionError(path + kFormatFile + " names no format version");
  } else if (text.status().code() != StatusCode::kNotFound) {
    return text.status();
  }
  if (version == kRecordFormatVersion) return OkStatus();
  return NotSupportedError(
      "the checkpoint in " + path + " is of format version " + std::to_string(version) +
      (version > kRecordFormatVersion ? ", newer than this program knows ("
                                      : ", which this program reads no more (") +
      std::to_string(kRecordFormatVersion) + ")");
}

// Keys from `from` up to and without `to`.
struct Range {
  std::string from;
  std::string to;
};

class RocksStore final : public CheckpointStore {
 public:
  RocksStore(std::string path, std::unique_ptr<rocksdb::DB> db)
      : path_(std::move(path)), db_(std::move(db)) {}
  Status read_position();
  std::optional<std::uint64_t> position() const override { return position_; }
  Status load(unsigned threads, const Visit& visit) override;
  Status write(const CheckpointChanges& changes, std::uint64_t applied_position) override;

 private:
  std::vector<Range> split(char letter, std::uint64_t count, rocksdb::Iterator* at) const;
  Status read(const Range& range, const Visit& visit, const std::atomic<bool>& stop) const;
  Status read_all(unsigned threads, const std::vector<Range>& ranges, const Visit& visit) const;
  rocksdb::ReadOptions read_options() const;
  std::string reading() const { return "reading the checkpoint " + path_; }

  const std::string path_;
  std::unique_ptr<rocksdb::DB> db_;
  std::optional<std::uint64_t> position_;
};

rocksdb::ReadOptions RocksStore::read_options() const {
  rocksdb::ReadOptions options;
  options.verify_checksums = true;
  options.fill_cache = false;
  options.readahead_size = 4 << 20;
  return options;
}

Status RocksStore::read_position() {
  std::string text;
  const rocksdb::Status found = db_->Get(read_options(), kPositionKey, &text);
  if (!found.IsNotFound()) {
    RETURN_IF_ERROR(to_status(found, reading()));
    std::uint64_t position = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), position);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size())
      return CorruptionError("checkpoint " + path_ + ": its position is " + text);
    position_ = position;
    return OkStatus();
  }
  const std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator(read_options()));
  at->SeekToFirst();
  RETURN_IF_ERROR(to_status(at->status(), reading()));
  return at->Valid() ? CorruptionError("checkpoint " + path_ + " has records but no position")
                     : OkStatus();
}

// Parts of about as many numbers each of the records of a letter.
std::vector<Range> RocksStore::split(char letter, std::uint64_t count,
                                     rocksdb::Iterator* at) const {
  const std::string end(1, static_cast<char>(letter + 1));
  at->Seek(std::string(1, letter));
  const std::uint64_t low =
      at->key().size() < kNumberKeyBytes ? 0 : number_of_key({at->key().data(), at->key().size()});
  at->SeekForPrev(end);
  if (at->Valid() && at->key() == end) at->Prev();  // the next letter's record without a number
  const std::uint64_t high = !at->Valid() || at->key().size() < kNumberKeyBytes
                                 ? low
                                 : number_of_key({at->key().data(), at->key().size()});
  std::vector<Range> ranges{{std::string(1, letter), end}};
  if (high <= low) return ranges;
  const std::uint64_t step = (high - low) / count + 1;
  for (std::uint64_t i = 1; i < count && high - low >= i * step; ++i) {
    ranges.back().to = number_key(letter, low + i * step);
    ranges.push_back({ranges.back().to, end});
  }
  return ranges;
}

Status RocksStore::read(const Range& range, const Visit& visit,
                        const std::atomic<bool>& stop) const {
  rocksdb::ReadOptions options = read_options();
  const rocksdb::Slice upper(range.to);
  if (!range.to.empty()) options.iterate_upper_bound = &upper;
  const std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator(options));
  for (at->Seek(range.from); at->Valid() && !stop.load(std::memory_order_relaxed); at->Next()) {
    const rocksdb::Slice key = at->key();
    const rocksdb::Slice value = at->value();
    RETURN_IF_ERROR(visit({key.data(), key.size()}, {value.data(), value.size()}));
  }
  return to_status(at->status(), reading());
}

Status RocksStore::read_all(unsigned threads, const std::vector<Range>& ranges,
                            const Visit& visit) const {
  std::atomic<std::size_t> next{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  Status first;
  const auto work = [&] {
    for (std::size_t i = next++; i < ranges.size() && !stop; i = next++) {
      const Status done = read(ranges[i], visit, stop);
      if (done.ok()) continue;
      const std::lock_guard lock(mutex);
      if (first.ok()) first = done;
      stop = true;
    }
  };
  std::vector<std::thread> others;
  for (std::size_t i = 1; i < std::min<std::size_t>(threads, ranges.size()); ++i)
    others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
  return first;
}

Status RocksStore::load(unsigned threads, const Visit& visit) {
  if (threads <= 1) return read_all(1, {{kFirstRecord, ""}}, visit);
  const std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator(read_options()));
  for (at->Seek(kFirstRecord); at->Valid();) {
    const char letter = at->key()[0];
    const std::vector<Range> ranges = split(letter, threads * kRangesPerThread, at.get());
    RETURN_IF_ERROR(read_all(threads, ranges, visit));
    at->Seek(std::string(1, static_cast<char>(letter + 1)));
  }
  return to_status(at->status(), reading());
}

Status RocksStore::write(const CheckpointChanges& changes, std::uint64_t applied_position) {
  // After an earlier failure it takes nothing more until it is told to.
  RETURN_IF_ERROR(to_status(db_->Resume(), "going on after a failed checkpoint"));
  rocksdb::WriteBatch batch;
  rocksdb::Status collected;
  changes.for_each([&](std::string_view key, std::optional<std::string_view> value) {
    const rocksdb::Status put =
        value ? batch.Put({key.data(), key.size()}, {value->data(), value->size()})
              : batch.Delete({key.data(), key.size()});
    if (collected.ok()) collected = put;
  });
  if (collected.ok()) collected = batch.Put(kPositionKey, std::to_string(applied_position));
  RETURN_IF_ERROR(to_status(collected, "collecting the checkpoint"));
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  RETURN_IF_ERROR(to_status(db_->Write(options, &batch), "writing the checkpoint " + path_));
  RETURN_IF_ERROR(
      to_status(db_->Flush(rocksdb::FlushOptions()), "flushing the checkpoint " + path_));
  position_ = applied_position;
  return OkStatus();
}

}  // namespace

void CheckpointChanges::add(std::string_view key, const std::string* value) {
  if (blocks_.empty() || blocks_.back().size() >= kBlockBytes) {
    blocks_.emplace_back();
    blocks_.back().reserve(kBlockBytes + 1024);
  }
  std::string* const out = &blocks_.back();
  put_text(out, key);
  out->push_back(value != nullptr ? 1 : 0);
  if (value != nullptr) put_text(out, *value);
}

namespace {
// RocksDB's threads of that pool, of which there is one, give way to those that serve.
void lower_priority(rocksdb::Env::Priority pool) {
  rocksdb::Env::Default()->Schedule([](void*) { lower_thread_priority(); }, nullptr, pool);
}
}  // namespace

Result<std::unique_ptr<CheckpointStore>> CheckpointStore::open(const std::string& path) {
  RETURN_IF_ERROR(check_format(path));
  rocksdb::DB* db = nullptr;
  const rocksdb::Status opened = rocksdb::DB::Open(make_options(), path, &db);
  RETURN_IF_ERROR(to_status(opened, "checkpoint " + path));
  lower_priority(rocksdb::Env::HIGH);
  lower_priority(rocksdb::Env::LOW);
  auto store = std::make_unique<RocksStore>(path, std::unique_ptr<rocksdb::DB>(db));
  RETURN_IF_ERROR(store->read_position());
  return std::unique_ptr<CheckpointStore>(std::move(store));
}

}  // namespace shoal::metad
