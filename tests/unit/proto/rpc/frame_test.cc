// Frames of proto/rpc: what is encoded comes back, and damaged bytes are refused, never believed.
#include "proto/rpc/frame.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace shoal::rpc {
namespace {

Buffer random_bytes(SeededRandom* random, std::size_t size) {
  Buffer buffer = Buffer::allocate(size);
  for (std::size_t i = 0; i < size; ++i)
    buffer.mutable_data()[i] = static_cast<std::byte>(random->below(256));
  return buffer;
}

std::string bytes_of(const grpc::ByteBuffer& frame) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(frame.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices)
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

// In slices of `step` bytes, as a network would cut it.
grpc::ByteBuffer frame_of(const std::string& bytes, std::size_t step = 1 << 20) {
  std::vector<grpc::Slice> slices;
  for (std::size_t at = 0; at < bytes.size(); at += step)
    slices.emplace_back(bytes.substr(at, step));
  return {slices.data(), slices.size()};
}

std::vector<Entry> sample_entries() {
  SeededRandom random(7);
  std::vector<Entry> entries;
  for (const std::size_t size : {0U, 1U, 4096U, 100'000U}) {
    Entry entry;
    entry.id = random.next();
    entry.timeout_ms = static_cast<std::uint32_t>(size) + 1;
    entry.message = {Service::kStorage, "body of " + std::to_string(size), {}};
    if (size > 0) {
      entry.message.payload.push_back(random_bytes(&random, size));
      entry.message.payload.push_back(random_bytes(&random, 3));
    }
    entries.push_back(std::move(entry));
  }
  Entry refusal;
  refusal.id = 9;
  refusal.refusal = StatusCode::kNoSpace;
  refusal.message = {Service::kQuery, "no room", {}};
  entries.push_back(std::move(refusal));
  return entries;
}

TEST(Frame, ComesBackWhole) {
  const std::vector<Entry> sent = sample_entries();
  const std::string bytes = bytes_of(encode_frame(sent));
  for (const std::size_t step : {1UL, 7UL, 4096UL, bytes.size()}) {
    const auto got = decode_frame(frame_of(bytes, step));
    ASSERT_TRUE(got.ok()) << got.status().to_string();
    ASSERT_EQ(got->size(), sent.size());
    for (std::size_t i = 0; i < sent.size(); ++i) {
      EXPECT_EQ((*got)[i].id, sent[i].id);
      EXPECT_EQ((*got)[i].timeout_ms, sent[i].timeout_ms);
      EXPECT_EQ((*got)[i].refusal, sent[i].refusal);
      EXPECT_EQ((*got)[i].message.service, sent[i].message.service);
      EXPECT_EQ((*got)[i].message.body, sent[i].message.body);
      EXPECT_EQ(flatten((*got)[i].message.payload).view(), flatten(sent[i].message.payload).view());
      for (const Buffer& piece : (*got)[i].message.payload) EXPECT_TRUE(piece.page_aligned());
    }
  }
}

TEST(Frame, TruncatedOrLongerIsRefused) {
  const std::string bytes = bytes_of(encode_frame(sample_entries()));
  for (std::size_t size = 0; size < bytes.size(); size += size < 300 ? 1 : 997) {
    EXPECT_FALSE(decode_frame(frame_of(bytes.substr(0, size))).ok()) << size;
  }
  EXPECT_FALSE(decode_frame(frame_of(bytes + "x")).ok());
}

TEST(Frame, AFlippedBitBeforeThePayloadIsRefused) {
  Entry entry;
  entry.message = {Service::kCommand, "twelve bytes", {}};
  const std::string bytes = bytes_of(encode_frame({entry}));
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(decode_frame(frame_of(damaged)).ok()) << bit;
  }
}

TEST(Outbox, CutsFramesBySizeAndCount) {
  Outbox outbox;
  for (std::size_t i = 0; i < 2 * kMaxEntriesInFrame + 1; ++i) outbox.push(Entry{});
  EXPECT_EQ(outbox.take_batch().size(), kMaxEntriesInFrame);
  EXPECT_EQ(outbox.take_batch().size(), kMaxEntriesInFrame);
  EXPECT_EQ(outbox.take_batch().size(), 1U);
  EXPECT_TRUE(outbox.empty());
  Entry large;
  large.message.payload.push_back(Buffer::allocate(kFrameTargetBytes - 1));
  for (int i = 0; i < 3; ++i) outbox.push(large);
  EXPECT_EQ(outbox.take_batch().size(), 2U);
  EXPECT_EQ(outbox.take_batch().size(), 1U);
}

}  // namespace
}  // namespace shoal::rpc
