#include "metad/backup/dump_stream.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <span>

#include "base/compact.h"
#include "base/crc32c.h"
#include "metad/state/state_machine.h"

namespace shoal::metad {
namespace {

constexpr std::uint64_t kMagic = 0x31304d5544414853;  // "SHADUM01"
constexpr std::size_t kBlockBytes = 1 << 20;
// A record is one inode's extents, or an upload's with 10,000 parts.
constexpr std::size_t kMaxBlockBytes = 1 << 30;

template <typename Struct>
std::string_view bytes_of(const Struct& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
std::uint32_t crc_of(std::string_view bytes, std::uint32_t previous = 0) {
  return crc32c(std::as_bytes(std::span(bytes.data(), bytes.size())), previous);
}
template <typename Struct>
std::uint32_t own_crc(Struct value, std::string_view behind = {}) {
  value.crc = 0;
  return crc_of(behind, crc_of(bytes_of(value)));
}

}  // namespace

Result<DumpFile> DumpFile::make(const std::string& path) {
  if (!path.starts_with('/')) return InvalidArgumentError("dump to " + path + ": not absolute");
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoError(errno, path);
  return DumpFile(fd, path);
}

DumpFile::~DumpFile() {
  if (fd_ >= 0) close(fd_);
}

void DumpFile::discard() const { unlink(path_.c_str()); }

Status DumpWriter::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "writing " + name_);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return OkStatus();
}

Status DumpWriter::begin(std::uint64_t position) {
  DumpHeader header{};
  header.magic = kMagic;
  header.format_version = kDumpFormatVersion;
  header.record_version = kRecordFormatVersion;
  header.position = position;
  header.crc = own_crc(header);
  return write(bytes_of(header));
}

Status DumpWriter::add(std::string_view key, std::string_view value) {
  put_text(&block_, key);
  put_text(&block_, value);
  ++block_records_;
  return block_.size() >= kBlockBytes ? write_block() : OkStatus();
}

Status DumpWriter::write_block() {
  DumpBlockHeader header{static_cast<std::uint32_t>(block_.size()), block_records_, 0};
  header.crc = own_crc(header, block_);
  RETURN_IF_ERROR(write(bytes_of(header)));
  RETURN_IF_ERROR(write(block_));
  ++end_.blocks;
  end_.records += block_records_;
  end_.crcs = crc_of(bytes_of(header.crc), end_.crcs);
  block_.clear();
  block_records_ = 0;
  return OkStatus();
}

Status DumpWriter::finish() {
  if (!block_.empty()) RETURN_IF_ERROR(write_block());
  RETURN_IF_ERROR(write_block());  // the empty one that ends it
  --end_.blocks;
  end_.crc = own_crc(end_);
  RETURN_IF_ERROR(write(bytes_of(end_)));
  struct stat st {};
  if (fstat(fd_, &st) == 0 && S_ISREG(st.st_mode) && fsync(fd_) != 0)
    return ErrnoError(errno, "fsync of " + name_);
  return OkStatus();
}

Status DumpReader::damage(const std::string& what) const {
  return CorruptionError(name_ + " at byte " + std::to_string(offset_) + ": " + what);
}

Status DumpReader::fill(void* to, std::size_t bytes) {
  char* at = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t n = ::read(fd_, at, bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "reading " + name_);
    if (n == 0) return damage("the stream ends before its end: the dump was cut short");
    at += n;
    bytes -= static_cast<std::size_t>(n);
    offset_ += static_cast<std::uint64_t>(n);
  }
  return OkStatus();
}

Status DumpReader::begin() {
  RETURN_IF_ERROR(fill(&header_, sizeof header_));
  if (header_.magic != kMagic)
    return InvalidArgumentError(name_ + " is not a dump of shoal's metadata");
  if (header_.format_version > kDumpFormatVersion) {
    return NotSupportedError(
        name_ + " is of dump format version " + std::to_string(header_.format_version) +
        ", newer than this program knows (" + std::to_string(kDumpFormatVersion) + ")");
  }
  if (header_.crc != own_crc(header_)) return damage("the header does not verify");
  if (header_.record_version != kRecordFormatVersion) {
    return NotSupportedError(name_ + " holds records of format version " +
                             std::to_string(header_.record_version) + ", this program reads " +
                             std::to_string(kRecordFormatVersion));
  }
  return OkStatus();
}

Status DumpReader::read(const Visit& visit) {
  while (true) {
    DumpBlockHeader header{};
    RETURN_IF_ERROR(fill(&header, sizeof header));
    if (header.bytes > kMaxBlockBytes) return damage("a block of impossible size");
    RETURN_IF_ERROR(read_block(header, visit));
    end_.crcs = crc_of(bytes_of(header.crc), end_.crcs);
    if (header.bytes == 0) return read_end();
    ++end_.blocks;
    end_.records += header.records;
  }
}

Status DumpReader::read_block(const DumpBlockHeader& header, const Visit& visit) {
  block_.resize(header.bytes);
  RETURN_IF_ERROR(fill(block_.data(), block_.size()));
  if (header.crc != own_crc(header, block_)) return damage("the block before does not verify");
  CompactReader in(block_);
  for (std::uint32_t i = 0; i < header.records; ++i) {
    const std::string_view key = in.text();
    const std::string_view value = in.text();
    if (!in.ok()) break;
    RETURN_IF_ERROR(visit(key, value));
  }
  return in.done() ? OkStatus() : damage("the block before holds other records than it says");
}

Status DumpReader::read_end() {
  DumpEnd end{};
  RETURN_IF_ERROR(fill(&end, sizeof end));
  if (end.crc != own_crc(end)) return damage("the end does not verify");
  if (end.blocks != end_.blocks || end.records != end_.records || end.crcs != end_.crcs)
    return damage("the dump has other blocks than its end says");
  char more = 0;
  if (::read(fd_, &more, 1) > 0) return damage("something follows the end");
  return OkStatus();
}

}  // namespace shoal::metad
