// Journal: the commands of a metadata daemon in the order of their positions, made durable in group
// commits. Files are prewritten, the next one while the one in use fills, and recycled. Belongs to
// one executor; one write is in flight at a time.
//
//   file:  [header page][batch][batch]...
//   batch: [BatchHeader][length u32, bytes]... zero padding to a page
//
// A batch counts only if its CRC holds; a batch that does not, with nothing valid behind it, is the
// torn end.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/async/sync.h"
#include "base/io/block_device.h"
#include "base/result.h"

namespace shoal::metad {

inline constexpr std::uint32_t kJournalFormatVersion = 1;

struct JournalFileHeader {
  std::uint64_t magic;
  std::uint32_t format_version;
  std::uint32_t crc;                  // of this struct with crc = 0
  std::array<std::uint8_t, 16> uuid;  // of the journal: a file of another one
  std::uint64_t generation;           // of this life of the file; grows from file to file
  std::uint64_t first_position;       // of the first command in it
};
static_assert(sizeof(JournalFileHeader) == 48);

struct JournalBatchHeader {
  std::uint64_t magic;
  std::uint32_t format_version;
  std::uint32_t crc;  // of header and commands with crc = 0: a torn or flipped batch
  std::array<std::uint8_t, 16> uuid;
  std::uint64_t generation;      // a batch of an earlier life of the file
  std::uint64_t first_position;  // a lost batch shows as a gap
  std::uint32_t count;
  std::uint32_t bytes;  // header and commands
};
static_assert(sizeof(JournalBatchHeader) == 56);

class Journal {
 public:
  // Gives every command at a position above `after`, in order. Errors stop the opening.
  using Replay = std::function<Status(std::uint64_t position, std::string_view command)>;

  // Opens or makes the journal of `directory`. Errors: kCorruption with file and byte for damage
  // that is not a torn tail, or for a gap between `after` and what is there; kNotSupported for a
  // newer format.
  static Task<Result<std::unique_ptr<Journal>>> open(BlockDirectory& directory,
                                                     std::uint64_t segment_bytes,
                                                     std::uint64_t after, Replay replay);

  // Appends commands at the next positions. *Durable:* all of them, once OK. After an error nothing
  // more is taken.
  Task<Status> write(std::uint64_t first_position, std::vector<std::string_view> commands);
  // Waits for the file that is being made. Nothing may be written afterwards. Needed before the
  // destruction once something was written.
  Task<void> close() { co_await background_.join(); }
  // Commands up to `position` are in a checkpoint: files that hold nothing newer are used again.
  void trim(std::uint64_t position);

  std::uint64_t last_position() const { return last_position_; }
  std::uint64_t bytes_since_trim() const { return bytes_since_trim_; }
  std::uint64_t flush_count() const;

 private:
  struct File {
    std::unique_ptr<BlockDevice> device;
    std::uint64_t generation = 0;
    std::uint64_t first_position = 0;
    std::uint64_t last_position = 0;
    std::uint64_t next_offset = 0;
    bool free = true;
  };

  Journal(BlockDirectory& directory, std::uint64_t segment_bytes)
      : directory_(directory), segment_bytes_(segment_bytes) {}
  Task<Status> recover(std::uint64_t after, const Replay& replay);
  Task<Status> check_unused(const File* file, std::uint64_t after);
  // `before` is the file before it; null for the first.
  Task<Status> replay_file(File* file, const File* before, bool last, std::uint64_t after,
                           const Replay& replay);
  Task<bool> batch_follows(File* file, std::uint64_t offset);
  Task<Status> next_file(std::uint64_t first_position);
  File* find_free();
  Task<Status> make_file();
  void make_ahead();

  BlockDirectory& directory_;
  const std::uint64_t segment_bytes_;
  std::array<std::uint8_t, 16> uuid_{};
  std::map<std::string, File> files_;
  File* active_ = nullptr;
  std::uint64_t next_generation_ = 1;
  std::uint64_t last_position_ = 0;
  std::uint64_t bytes_since_trim_ = 0;
  std::uint64_t next_file_number_ = 1;
  Status failed_;
  bool making_ = false;         // a file; those who need one wait for it
  std::uint64_t ahead_of_ = 0;  // the generation of the file whose successor was made ahead
  Signal made_;
  TaskScope background_;
};

}  // namespace shoal::metad
