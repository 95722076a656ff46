// The stream of `shoal metad dump`: the records of a checkpoint, portable between machines. The
// document is docs/on-disk-format.md. Blocking.
//
//   header, blocks, an end that says how many there were
//
// Every block has its own CRC, and the end is needed: a stream that is cut short is noticed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace shoal::metad {

inline constexpr std::uint32_t kDumpFormatVersion = 1;

struct DumpHeader {
  std::uint64_t magic;
  std::uint32_t format_version;
  std::uint32_t record_version;  // of the records (kRecordFormatVersion)
  std::uint64_t position;        // of the last command in it
  std::uint64_t reserved;
  std::uint32_t reserved2;
  std::uint32_t crc;  // of this struct with crc = 0
};
static_assert(sizeof(DumpHeader) == 40);

struct DumpBlockHeader {
  std::uint32_t bytes;    // that follow; 0: the end of the stream
  std::uint32_t records;  // in it
  std::uint32_t crc;      // of this struct with crc = 0, and of the bytes
};
static_assert(sizeof(DumpBlockHeader) == 12);

// Behind the last block, which has no bytes.
struct DumpEnd {
  std::uint64_t blocks;
  std::uint64_t records;
  std::uint32_t crcs;  // CRC32C of all blocks' CRCs, in order: none is missing or has moved
  std::uint32_t crc;   // of this struct with crc = 0
};
static_assert(sizeof(DumpEnd) == 24);

// A new file for a dump.
class DumpFile {
 public:
  // Errors: kInvalidArgument unless `path` is absolute; kAlreadyExists, because what is there may
  // be the only back-up; as open(2).
  static Result<DumpFile> make(const std::string& path);
  DumpFile(DumpFile&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}
  ~DumpFile();
  int fd() const { return fd_; }
  // Removes it: what was written is of no use.
  void discard() const;

 private:
  DumpFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  int fd_;
  std::string path_;
};

class DumpWriter {
 public:
  // Does not close `fd`. `name` is what errors call it.
  DumpWriter(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}
  Status begin(std::uint64_t position);
  Status add(std::string_view key, std::string_view value);
  // The stream is whole only after this. *Durable:* a regular file is flushed.
  Status finish();
  std::uint64_t records() const { return end_.records; }

 private:
  Status write_block();
  Status write(std::string_view bytes);

  int fd_;
  std::string name_;
  std::string block_;
  std::uint32_t block_records_ = 0;
  DumpEnd end_{};
};

class DumpReader {
 public:
  using Visit = std::function<Status(std::string_view key, std::string_view value)>;

  DumpReader(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}
  // Reads the header. Errors: kInvalidArgument when it is no dump, kNotSupported for a newer
  // format, kCorruption.
  Status begin();
  std::uint64_t position() const { return header_.position; }
  // Gives all records, and makes sure that the stream was whole. Errors: kCorruption naming the
  // byte; what `visit` says. Records given before an error are not to be used.
  Status read(const Visit& visit);
  std::uint64_t records() const { return end_.records; }

 private:
  Status read_block(const DumpBlockHeader& header, const Visit& visit);
  Status read_end();
  Status fill(void* to, std::size_t bytes);  // kCorruption when the stream ends before
  Status damage(const std::string& what) const;

  int fd_;
  std::string name_;
  std::uint64_t offset_ = 0;
  DumpHeader header_{};
  DumpEnd end_{};  // what was counted
  std::string block_;
};

}  // namespace shoal::metad
