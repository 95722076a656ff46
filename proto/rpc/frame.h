// Frames: what one gRPC message of a connection holds (docs/wire-protocol.md). Many requests or
// replies travel in one frame. Payloads are slices of our own buffers and are not copied on the way
// out; on the way in each is copied once, into a page-aligned Buffer that O_DIRECT can take.
//
//   FrameHeader | EntryHeader x entry_count | bodies (protobuf) | payloads
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "base/result.h"

namespace shoal::rpc {

// Raised when a peer of the version before could not understand us.
inline constexpr std::uint32_t kProtocolVersion = 1;

// Which protobuf message an entry's body is: X for a request, Y for its reply.
enum class Service : std::uint8_t {
  kHello = 1,    // proto::Hello, proto::Hello
  kStorage = 2,  // proto::StorageRequest, proto::StorageReply
  kCommand = 3,  // proto::Command, proto::CommandReply
  kQuery = 4,    // proto::Query, proto::QueryReply
};

struct Message {
  Service service = Service::kHello;
  std::string body;
  BufferList payload;
};

// Bytes of one entry; a frame holds at least one entry and is closed at kFrameTargetBytes.
inline constexpr std::size_t kMaxEntryBytes = 32 << 20;
inline constexpr std::size_t kFrameTargetBytes = 2 << 20;
inline constexpr std::size_t kMaxFrameBytes = kFrameTargetBytes + kMaxEntryBytes + 4096;
inline constexpr std::uint32_t kMaxEntriesInFrame = 1024;

struct Entry {
  std::uint64_t id = 0;  // chosen by the one who asks; the reply carries it back
  // Of a request: milliseconds from now until nobody waits for the reply; 0: no limit.
  std::uint32_t timeout_ms = 0;
  // Of a reply: not kOk when the request was not run at all; the body is then the message.
  StatusCode refusal = StatusCode::kOk;
  Message message;

  std::size_t size() const { return message.body.size() + total_size(message.payload); }
};

// What was asked or answered and waits to be sent, in order. The self-clocking half of both ends.
class Outbox {
 public:
  void push(Entry entry) { entries_.push_back(std::move(entry)); }
  // Before everything that was not sent yet.
  void push_front(Entry entry) { entries_.push_front(std::move(entry)); }
  bool empty() const { return entries_.empty(); }
  void clear() { entries_.clear(); }
  template <typename Predicate>
  void drop_if(Predicate predicate) {
    std::erase_if(entries_, predicate);
  }
  // The next frame's entries.
  std::vector<Entry> take_batch();

 private:
  std::deque<Entry> entries_;
};

grpc::ByteBuffer encode_frame(const std::vector<Entry>& entries);
// Errors: kCorruption when the bytes are not a frame: bad magic, lengths or CRC.
Result<std::vector<Entry>> decode_frame(const grpc::ByteBuffer& frame);

}  // namespace shoal::rpc
