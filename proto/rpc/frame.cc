#include "proto/rpc/frame.h"

#include <cstring>
#include <memory>
#include <span>

#include "base/crc32c.h"

namespace shoal::rpc {
namespace {

// All numbers are little-endian; so is every machine Shoal runs on.
struct FrameHeader {
  std::uint32_t magic;
  std::uint32_t crc32c;  // of the entry headers and the bodies
  std::uint32_t entry_count;
  std::uint32_t bodies_bytes;
};
static_assert(sizeof(FrameHeader) == 16);

struct EntryHeader {
  std::uint64_t id;
  std::uint32_t timeout_ms;
  std::uint32_t body_bytes;
  std::uint32_t payload_bytes;
  std::uint8_t service;
  std::uint8_t refusal;
  std::uint16_t reserved;
};
static_assert(sizeof(EntryHeader) == 24);

constexpr std::uint32_t kMagic = 0x31524853;  // "SHR1"

// Payload pieces at most this long are copied into one slice: a slice of its own costs more.
constexpr std::size_t kCopyBelow = 1024;

void release_buffer(void* buffer) { delete static_cast<Buffer*>(buffer); }

// A slice that holds its Buffer until gRPC has sent it.
grpc::Slice slice_of(const Buffer& buffer) {
  auto holder = std::make_unique<Buffer>(buffer);
  Buffer* const held = holder.release();
  return grpc::Slice(held->mutable_data(), held->size(), release_buffer, held);
}

std::uint32_t crc_of(const char* data, std::size_t size) {
  return crc32c(std::as_bytes(std::span(data, size)));
}

// Takes bytes off a list of slices, in order.
class SliceReader {
 public:
  explicit SliceReader(const std::vector<grpc::Slice>& slices) : slices_(slices) {}
  bool read(void* to, std::size_t size) {
    auto* out = static_cast<std::byte*>(to);
    while (size > 0) {
      if (index_ == slices_.size()) return false;
      const grpc::Slice& slice = slices_[index_];
      const std::size_t n = std::min(size, slice.size() - offset_);
      std::memcpy(out, slice.begin() + offset_, n);
      out += n;
      size -= n;
      offset_ += n;
      if (offset_ == slice.size()) {
        ++index_;
        offset_ = 0;
      }
    }
    return true;
  }

 private:
  const std::vector<grpc::Slice>& slices_;
  std::size_t index_ = 0;
  std::size_t offset_ = 0;
};

}  // namespace

std::vector<Entry> Outbox::take_batch() {
  std::vector<Entry> batch;
  std::size_t bytes = 0;
  while (!entries_.empty() && batch.size() < kMaxEntriesInFrame && bytes < kFrameTargetBytes) {
    bytes += entries_.front().size();
    batch.push_back(std::move(entries_.front()));
    entries_.pop_front();
  }
  return batch;
}

grpc::ByteBuffer encode_frame(const std::vector<Entry>& entries) {
  std::size_t bodies = 0;
  for (const Entry& entry : entries) bodies += entry.message.body.size();
  std::string head(sizeof(FrameHeader) + entries.size() * sizeof(EntryHeader), '\0');
  head.reserve(head.size() + bodies);
  char* place = head.data() + sizeof(FrameHeader);
  for (const Entry& entry : entries) {
    const EntryHeader header{entry.id,
                             entry.timeout_ms,
                             static_cast<std::uint32_t>(entry.message.body.size()),
                             static_cast<std::uint32_t>(total_size(entry.message.payload)),
                             static_cast<std::uint8_t>(entry.message.service),
                             static_cast<std::uint8_t>(entry.refusal),
                             0};
    std::memcpy(place, &header, sizeof header);
    place += sizeof header;
  }
  for (const Entry& entry : entries) head += entry.message.body;
  const FrameHeader header{
      kMagic, crc_of(head.data() + sizeof(FrameHeader), head.size() - sizeof(FrameHeader)),
      static_cast<std::uint32_t>(entries.size()), static_cast<std::uint32_t>(bodies)};
  std::memcpy(head.data(), &header, sizeof header);

  std::vector<grpc::Slice> slices;
  std::string small = std::move(head);  // copied bytes not yet in a slice
  for (const Entry& entry : entries) {
    for (const Buffer& piece : entry.message.payload) {
      if (piece.size() <= kCopyBelow) {
        small.append(piece.view());
        continue;
      }
      if (!small.empty()) slices.emplace_back(small);
      small.clear();
      slices.push_back(slice_of(piece));
    }
  }
  if (!small.empty()) slices.emplace_back(small);
  return grpc::ByteBuffer(slices.data(), slices.size());
}

Result<std::vector<Entry>> decode_frame(const grpc::ByteBuffer& frame) {
  std::vector<grpc::Slice> slices;
  if (!frame.Dump(&slices).ok()) return CorruptionError("a frame that cannot be decompressed");
  const std::size_t size = frame.Length();
  SliceReader in(slices);
  FrameHeader header{};
  if (!in.read(&header, sizeof header) || header.magic != kMagic)
    return CorruptionError("bytes that are not a Shoal frame");
  const std::size_t headers_bytes = std::size_t{header.entry_count} * sizeof(EntryHeader);
  if (header.entry_count == 0 || header.entry_count > kMaxEntriesInFrame ||
      sizeof header + headers_bytes + header.bodies_bytes > size) {
    return CorruptionError("a frame whose lengths do not fit its " + std::to_string(size) +
                           " bytes");
  }
  std::string head(headers_bytes + header.bodies_bytes, '\0');
  if (!in.read(head.data(), head.size()) || crc_of(head.data(), head.size()) != header.crc32c)
    return CorruptionError("a frame whose CRC does not match");
  std::vector<Entry> entries(header.entry_count);
  std::size_t body_at = headers_bytes;
  std::size_t left = size - sizeof header - head.size();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    EntryHeader from{};
    std::memcpy(&from, head.data() + i * sizeof from, sizeof from);
    if (from.body_bytes > head.size() - body_at || from.payload_bytes > left)
      return CorruptionError("a frame whose entries are longer than it is");
    Entry& entry = entries[i];
    entry.id = from.id;
    entry.timeout_ms = from.timeout_ms;
    entry.refusal = status_code_from_wire(from.refusal);
    entry.message.service = static_cast<Service>(from.service);
    entry.message.body.assign(head, body_at, from.body_bytes);
    body_at += from.body_bytes;
    left -= from.payload_bytes;
    if (from.payload_bytes == 0) continue;
    Buffer payload = Buffer::allocate(from.payload_bytes);
    if (!in.read(payload.mutable_data(), payload.size()))
      return CorruptionError("a frame that ends early");
    entry.message.payload.push_back(std::move(payload));
  }
  if (left != 0 || body_at != head.size())
    return CorruptionError("a frame with bytes that belong to no entry");
  return entries;
}

}  // namespace shoal::rpc
