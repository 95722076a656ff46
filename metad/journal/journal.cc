#include "metad/journal/journal.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/crc32c.h"
#include "base/log.h"
#include "base/random.h"

namespace shoal::metad {
namespace {

constexpr std::uint64_t kFileMagic = 0x31304c4e524a4853;   // "SHJRNL01"
constexpr std::uint64_t kBatchMagic = 0x3130544142524a53;  // "SJRBAT01"
constexpr std::string_view kPrefix = "journal-";
// A group commit is smaller (kMaxJournalBatchBytes and kMaxCommandBytes, metad/limits.h).
constexpr std::uint64_t kMaxFirstBatchBytes = 8 << 20;

std::uint32_t crc_of(JournalFileHeader header) {
  header.crc = 0;
  return crc32c(std::as_bytes(std::span(&header, 1)));
}

std::string file_name(std::uint64_t number) {
  const std::string digits = std::to_string(number);
  return std::string(kPrefix) + std::string(8 - std::min<std::size_t>(8, digits.size()), '0') +
         digits;
}

// Whether the bytes begin with a batch of this file's life that verifies. `bytes` may be cut short.
bool verifies(std::span<const std::byte> bytes, const JournalBatchHeader& header) {
  if (header.bytes < sizeof header || header.bytes > bytes.size()) return false;
  JournalBatchHeader clean = header;
  clean.crc = 0;
  std::uint32_t crc = crc32c(std::as_bytes(std::span(&clean, 1)));
  crc = crc32c(bytes.subspan(sizeof clean, header.bytes - sizeof clean), crc);
  return crc == header.crc;
}

// Calls `visit` with each command of a verified batch. Errors: kCorruption when the lengths do not
// add up.
Status for_each_command(std::span<const std::byte> bytes, const JournalBatchHeader& header,
                        const std::function<Status(std::uint64_t, std::string_view)>& visit) {
  std::string_view rest(reinterpret_cast<const char*>(bytes.data()) + sizeof header,
                        header.bytes - sizeof header);
  for (std::uint32_t i = 0; i < header.count; ++i) {
    std::uint32_t length = 0;
    if (rest.size() < sizeof length)
      return CorruptionError("a batch with fewer commands than it says");
    std::memcpy(&length, rest.data(), sizeof length);
    rest.remove_prefix(sizeof length);
    if (rest.size() < length) return CorruptionError("a command longer than its batch");
    RETURN_IF_ERROR(visit(header.first_position + i, rest.substr(0, length)));
    rest.remove_prefix(length);
  }
  return OkStatus();
}

}  // namespace

Task<Result<std::unique_ptr<Journal>>> Journal::open(BlockDirectory& directory,
                                                     std::uint64_t segment_bytes,
                                                     std::uint64_t after, Replay replay) {
  std::unique_ptr<Journal> journal(new Journal(directory, segment_bytes));
  CO_RETURN_IF_ERROR(co_await journal->recover(after, replay));
  co_return journal;
}

Task<Status> Journal::recover(std::uint64_t after, const Replay& replay) {
  auto names = co_await directory_.list();
  if (!names.ok()) co_return names.status();
  bool have_uuid = false;
  std::vector<File*> used;
  for (const std::string& name : *names) {
    std::uint64_t number = 0;
    if (!name.starts_with(kPrefix)) continue;
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), number);
    next_file_number_ = std::max(next_file_number_, number + 1);
    auto device = co_await directory_.open(name);
    if (!device.ok()) co_return device.status();
    if ((*device)->size_bytes() < 2 * kPageSize) {  // a crash while it was made
      device->reset();
      CO_RETURN_IF_ERROR(co_await directory_.remove(name));
      continue;
    }
    auto page = co_await (*device)->read(0, kPageSize);
    if (!page.ok()) co_return page.status();
    JournalFileHeader header{};
    std::memcpy(&header, page->data(), sizeof header);
    File& file = files_[name];
    file.device = std::move(*device);
    if (header.magic != kFileMagic || header.crc != crc_of(header)) {
      CO_RETURN_IF_ERROR(co_await check_unused(&file, after));
      if (file.device->size_bytes() == segment_bytes_) continue;
      files_.erase(name);  // not even made to its end
      CO_RETURN_IF_ERROR(co_await directory_.remove(name));
      continue;
    }
    if (header.format_version > kJournalFormatVersion) {
      co_return NotSupportedError(
          file.device->name() + " is of format version " + std::to_string(header.format_version) +
          ", newer than this program knows (" + std::to_string(kJournalFormatVersion) + ")");
    }
    if (have_uuid && header.uuid != uuid_)
      co_return CorruptionError(file.device->name() + " is of another journal");
    uuid_ = header.uuid;
    have_uuid = true;
    file.free = false;
    file.generation = header.generation;
    file.first_position = header.first_position;
    next_generation_ = std::max(next_generation_, header.generation + 1);
    used.push_back(&file);
  }
  if (!have_uuid) secure_random_bytes(std::as_writable_bytes(std::span(uuid_)));
  std::sort(used.begin(), used.end(),
            [](const File* a, const File* b) { return a->generation < b->generation; });
  // Trimmed files are used again in any order, so that what is left of the others may have gaps:
  // whatever a later file makes needless does not count.
  while (used.size() > 1 && used[1]->first_position <= after + 1) {
    used.front()->free = true;
    used.erase(used.begin());
  }
  last_position_ = used.empty() ? after : used.front()->first_position - 1;
  if (last_position_ > after) {
    co_return CorruptionError("the journal in " + directory_.path() + " begins at position " +
                              std::to_string(last_position_ + 1) + ", the checkpoint ends at " +
                              std::to_string(after));
  }
  const File* before = nullptr;
  for (File* file : used) {
    CO_RETURN_IF_ERROR(co_await replay_file(file, before, file == used.back(), after, replay));
    before = file;
  }
  if (last_position_ < after) {
    // Everything here is older than the checkpoint: trimmed files that were not used again yet.
    for (File* file : used) file->free = true;
    last_position_ = after;
  } else if (!used.empty()) {
    active_ = used.back();
    // What was read may be in the device's cache only, left there by a process that was killed in
    // the middle of a write: it counts from now on, so it must stay.
    CO_RETURN_IF_ERROR(co_await active_->device->flush());
  }
  co_return OkStatus();
}

// A file without a valid header was never used, or a crash came while its header was written for
// another life: then it holds nothing that is not in the checkpoint. Else its header is damaged.
Task<Status> Journal::check_unused(const File* file, std::uint64_t after) {
  const std::uint64_t readable =
      std::min<std::uint64_t>(file->device->size_bytes() - kPageSize, kMaxFirstBatchBytes);
  auto content = co_await file->device->read(kPageSize, readable);
  if (!content.ok()) co_return content.status();
  JournalBatchHeader header{};
  std::memcpy(&header, content->data(), sizeof header);
  if (header.magic != kBatchMagic || !verifies(content->span(), header) ||
      header.first_position + header.count <= after + 1) {
    co_return OkStatus();
  }
  co_return CorruptionError(file->device->name() +
                            " at byte 0: the header does not verify, but commands from position " +
                            std::to_string(header.first_position) + " on follow");
}

Task<Status> Journal::replay_file(File* file, const File* before, bool last, std::uint64_t after,
                                  const Replay& replay) {
  auto content = co_await file->device->read(0, file->device->size_bytes());
  if (!content.ok()) co_return content.status();
  const auto damage = [&](std::uint64_t offset, const std::string& what) {
    return CorruptionError(file->device->name() + " at byte " + std::to_string(offset) + ": " +
                           what);
  };
  if (file->first_position != last_position_ + 1) {
    co_return damage(0,
                     "begins at position " + std::to_string(file->first_position) + ", expected " +
                         std::to_string(last_position_ + 1) + ": " +
                         (before == nullptr ? "a file before it is missing"
                                            : "a file between it and " + before->device->name() +
                                                  " is missing, or the latter is damaged at byte " +
                                                  std::to_string(before->next_offset)));
  }
  std::uint64_t offset = kPageSize;
  while (offset + kPageSize <= content->size()) {
    const auto bytes = content->span().subspan(offset);
    JournalBatchHeader header{};
    std::memcpy(&header, bytes.data(), sizeof header);
    const bool ours = header.magic == kBatchMagic && header.uuid == uuid_ &&
                      header.generation == file->generation;
    if (ours && header.format_version > kJournalFormatVersion)
      co_return NotSupportedError("a newer journal format");
    if (!ours || !verifies(bytes, header)) {
      const bool damaged = co_await batch_follows(file, offset + kPageSize);
      if (damaged) {
        co_return damage(offset, "a batch does not verify although a later one does");
      }
      break;
    }
    if (header.first_position != last_position_ + 1) {
      co_return damage(offset, "position " + std::to_string(header.first_position) + " follows " +
                                   std::to_string(last_position_));
    }
    const Status replayed =
        for_each_command(bytes, header, [&](std::uint64_t position, std::string_view command) {
          return position > after ? replay(position, command) : OkStatus();
        });
    if (!replayed.ok())
      co_return replayed.with_context(file->device->name() + " at byte " + std::to_string(offset));
    last_position_ = header.first_position + header.count - 1;
    bytes_since_trim_ += header.bytes;
    offset += round_up(header.bytes, kPageSize);
  }
  file->next_offset = offset;
  file->last_position = last_position_;
  // A torn end is fine in the newest file only: a later file exists because the end of this one was
  // durable. Its gap is found by the position that the later file begins with.
  if (!last && file->last_position + 1 == file->first_position)
    co_return damage(kPageSize, "holds nothing");
  co_return OkStatus();
}

// Whether a batch of this life of the file that is newer than the last one read begins at some page
// from `offset` on.
Task<bool> Journal::batch_follows(File* file, std::uint64_t offset) {
  auto content = co_await file->device->read(0, file->device->size_bytes());
  if (!content.ok()) co_return false;
  for (; offset + kPageSize <= content->size(); offset += kPageSize) {
    const auto bytes = content->span().subspan(offset);
    JournalBatchHeader header{};
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.magic == kBatchMagic && header.uuid == uuid_ &&
        header.generation == file->generation && header.first_position > last_position_ + 1 &&
        verifies(bytes, header)) {
      co_return true;
    }
  }
  co_return false;
}

Journal::File* Journal::find_free() {
  for (auto& [name, file] : files_) {
    if (file.free) return &file;
  }
  return nullptr;
}

Task<Status> Journal::make_file() {
  making_ = true;
  const std::string name = file_name(next_file_number_++);
  auto device = co_await directory_.create(name, segment_bytes_, true);
  if (device.ok()) files_[name].device = std::move(*device);
  making_ = false;
  made_.notify_all();
  co_return device.status();
}

// So that no command waits for the next file. Tried once for each file in use: where it fails it is
// tried again when the next one is needed, and then told.
void Journal::make_ahead() {
  if (ahead_of_ == active_->generation || making_ || find_free() != nullptr) return;
  if (active_->next_offset < active_->device->size_bytes() / 2) return;
  ahead_of_ = active_->generation;
  struct Ahead {
    static Task<void> run(Journal* journal) {
      const Status made = co_await journal->make_file();
      if (!made.ok())
        log_warning("metad", "the next journal file could not be made ahead", {{"status", made}});
    }
  };
  background_.spawn(Ahead::run(this));
}

Task<Status> Journal::next_file(std::uint64_t first_position) {
  while (making_) co_await made_.wait();
  if (find_free() == nullptr) CO_RETURN_IF_ERROR(co_await make_file());
  File* const file = find_free();
  JournalFileHeader header{};
  header.magic = kFileMagic;
  header.format_version = kJournalFormatVersion;
  header.uuid = uuid_;
  header.generation = next_generation_++;
  header.first_position = first_position;
  header.crc = crc_of(header);
  Buffer page = Buffer::zeros(kPageSize);
  std::memcpy(page.mutable_data(), &header, sizeof header);
  BufferList pieces;
  pieces.push_back(std::move(page));
  CO_RETURN_IF_ERROR(co_await file->device->write(0, std::move(pieces), WriteMode::kDurable));
  file->free = false;
  file->generation = header.generation;
  file->first_position = first_position;
  file->last_position = first_position - 1;
  file->next_offset = kPageSize;
  active_ = file;
  co_return OkStatus();
}

Task<Status> Journal::write(std::uint64_t first_position, std::vector<std::string_view> commands) {
  if (!failed_.ok()) co_return failed_;
  CHECK(first_position == last_position_ + 1);
  std::size_t bytes = sizeof(JournalBatchHeader);
  for (const std::string_view command : commands) bytes += sizeof(std::uint32_t) + command.size();
  const std::uint64_t padded = round_up(bytes, kPageSize);
  if (active_ == nullptr || active_->next_offset + padded > active_->device->size_bytes()) {
    const Status made = co_await next_file(first_position);
    if (!made.ok()) {
      // A full disk is no damage: nothing was written, and the next command may try again.
      if (made.code() != StatusCode::kNoSpace) failed_ = made;
      co_return made;
    }
  }
  Buffer batch = Buffer::allocate(padded);
  std::byte* out = batch.mutable_data();
  std::size_t at = sizeof(JournalBatchHeader);
  for (const std::string_view command : commands) {
    const auto length = static_cast<std::uint32_t>(command.size());
    std::memcpy(out + at, &length, sizeof length);
    std::memcpy(out + at + sizeof length, command.data(), length);
    at += sizeof length + length;
  }
  std::memset(out + at, 0, padded - at);
  JournalBatchHeader header{};
  header.magic = kBatchMagic;
  header.format_version = kJournalFormatVersion;
  header.uuid = uuid_;
  header.generation = active_->generation;
  header.first_position = first_position;
  header.count = static_cast<std::uint32_t>(commands.size());
  header.bytes = static_cast<std::uint32_t>(bytes);
  std::memcpy(out, &header, sizeof header);
  header.crc = crc32c(batch.span().first(bytes));
  std::memcpy(out, &header, sizeof header);
  BufferList pieces;
  pieces.push_back(std::move(batch));
  const Status written =
      co_await active_->device->write(active_->next_offset, std::move(pieces), WriteMode::kDurable);
  if (!written.ok()) {
    failed_ = written;
    co_return written;
  }
  active_->next_offset += padded;
  last_position_ = first_position + commands.size() - 1;
  active_->last_position = last_position_;
  bytes_since_trim_ += bytes;
  make_ahead();
  co_return OkStatus();
}

void Journal::trim(std::uint64_t position) {
  for (auto& [name, file] : files_) {
    if (!file.free && &file != active_ && file.last_position <= position) file.free = true;
  }
  bytes_since_trim_ = 0;
}

std::uint64_t Journal::flush_count() const {
  std::uint64_t count = 0;
  for (const auto& [name, file] : files_) count += file.device->flush_count();
  return count;
}

}  // namespace shoal::metad
