#include "s3compat/auth/md5_batch.h"

#include <algorithm>
#include <cstring>

namespace shoal::s3compat {
namespace {

// What one body may have queued; beyond it its reader waits.
constexpr std::size_t kMaxQueuedBytes = 2 << 20;
// Blocks of one lane in one go, and bytes of all before the loop looks at its sockets again.
constexpr std::size_t kBlocksAtOnce = 1024;
constexpr std::size_t kBytesPerRun = 1 << 20;

}  // namespace

void Md5Batch::activate(Md5Stream* stream) {
  if (stream->active_) return;
  stream->active_ = true;
  active_.push_back(stream);
  schedule();
}

void Md5Batch::deactivate(Md5Stream* stream) {
  if (!std::exchange(stream->active_, false)) return;
  active_.erase(std::find(active_.begin(), active_.end(), stream));
}

void Md5Batch::schedule() {
  if (std::exchange(scheduled_, true)) return;
  executor_.post([this] {
    scheduled_ = false;
    run();
  });
}

void Md5Batch::run() {
  std::size_t bytes = 0;
  while (!active_.empty() && bytes < kBytesPerRun) bytes += run_round();
  if (!active_.empty()) schedule();
}

// Hashes a piece of up to kMd5Lanes bodies. Returns how many bytes.
std::size_t Md5Batch::run_round() {
  std::array<Md5Stream*, kMd5Lanes> streams{};
  std::array<Md5Lane, kMd5Lanes> lanes{};
  std::size_t count = 0;
  std::size_t blocks = kBlocksAtOnce;
  for (Md5Stream* stream : active_) {
    const Md5Stream::Work work = stream->work();
    streams[count] = stream;
    lanes[count] = {&stream->state_, work.data};
    blocks = std::min(blocks, work.blocks);
    if (++count == kMd5Lanes) break;
  }
  md5_blocks(std::span(lanes.data(), count), blocks);
  active_.erase(active_.begin(), active_.begin() + static_cast<std::ptrdiff_t>(count));
  for (Md5Stream* stream : std::span(streams.data(), count)) {
    stream->advance(blocks);
    stream->active_ = stream->prepare();
    if (stream->active_) active_.push_back(stream);
    stream->changed_.notify_all();
  }
  return count * blocks * kMd5BlockBytes;
}

void Md5Stream::update(Buffer bytes) {
  if (bytes.empty()) return;
  total_ += bytes.size();
  queued_ += bytes.size();
  queue_.push_back(std::move(bytes));
  if (!active_ && prepare()) batch_.activate(this);
}

Task<void> Md5Stream::wait_for_room() {
  while (queued_ > kMaxQueuedBytes) co_await changed_.wait();
}

Task<std::array<std::byte, 16>> Md5Stream::finish() {
  ending_ = true;
  if (!active_ && prepare()) batch_.activate(this);
  while (active_) co_await changed_.wait();
  co_return md5_digest(state_);
}

// Sees to it that there is a whole block to hash; false when there is none.
bool Md5Stream::prepare() {
  if (carry_blocks_ > 0) return true;
  // Whole blocks of a piece are hashed where they lie; the rest is put together here.
  while (!queue_.empty() && (carry_bytes_ > 0 || queue_.front().size() < kMd5BlockBytes)) {
    Buffer& piece = queue_.front();
    const std::size_t n = std::min(piece.size(), kMd5BlockBytes - carry_bytes_);
    std::memcpy(carry_.data() + carry_bytes_, piece.data(), n);
    carry_bytes_ += n;
    queued_ -= n;
    piece = piece.slice(n, piece.size() - n);
    if (piece.empty()) queue_.erase(queue_.begin());
    if (carry_bytes_ < kMd5BlockBytes) continue;
    carry_blocks_ = 1;
    return true;
  }
  if (!queue_.empty()) return true;
  if (!ending_ || padded_) return false;
  pad();
  return true;
}

void Md5Stream::pad() {
  std::array<std::byte, kMd5BlockBytes> tail{};
  std::copy_n(carry_.begin(), carry_bytes_, tail.begin());
  carry_blocks_ = md5_padding(std::span(tail.data(), carry_bytes_), total_, &carry_);
  padded_ = true;
}

Md5Stream::Work Md5Stream::work() const {
  if (carry_blocks_ > 0) return {carry_.data() + carry_at_, carry_blocks_};
  return {queue_.front().data(), queue_.front().size() / kMd5BlockBytes};
}

void Md5Stream::advance(std::size_t blocks) {
  const std::size_t bytes = blocks * kMd5BlockBytes;
  if (carry_blocks_ > 0) {
    carry_blocks_ -= blocks;
    carry_at_ = carry_blocks_ > 0 ? carry_at_ + bytes : 0;
    if (carry_blocks_ == 0) carry_bytes_ = 0;
    return;
  }
  Buffer& piece = queue_.front();
  queued_ -= bytes;
  piece = piece.slice(bytes, piece.size() - bytes);
  if (piece.empty()) queue_.erase(queue_.begin());
}

}  // namespace shoal::s3compat
