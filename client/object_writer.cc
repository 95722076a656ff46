#include <algorithm>
#include <cstring>

#include "base/async/sync.h"
#include "client/object_io.h"
#include "proto/wire/convert.h"

namespace shoal::client {
namespace {

// What the tasks that write pieces share with the writer, which may go before they end.
struct Shared {
  explicit Shared(PackWriter& w) : writer(w) {}
  PackWriter& writer;
  AsyncSemaphore slots{kPiecesInFlight};
  ExtentList extents;
  Status failed;
  std::size_t running = 0;
  Signal drained;
  bool abandoned = false;
};

Task<void> write_piece(std::shared_ptr<Shared> shared, Buffer piece, std::uint64_t offset) {
  PieceHint hint;
  hint.file_offset = offset;
  auto extent = co_await shared->writer.write(std::move(piece), hint);
  if (!extent.ok()) {
    if (shared->failed.ok()) shared->failed = extent.status();
  } else if (shared->abandoned) {
    shared->writer.settled(std::span(&*extent, 1));
  } else {
    extent->file_offset = offset;
    shared->extents.push_back(*extent);
  }
  shared->slots.release();
  if (--shared->running == 0) shared->drained.notify_all();
}

class Writer final : public ObjectWriter {
 public:
  Writer(MetadataClient& metadata, PackWriter& writer)
      : metadata_(metadata), writer_(writer), shared_(std::make_shared<Shared>(writer)) {}
  ~Writer() override {
    shared_->abandoned = true;
    if (!committed_ && !shared_->extents.empty()) writer_.settled(shared_->extents);
  }

  Task<Status> append(Buffer piece) override {
    while (!piece.empty()) {
      if (!shared_->failed.ok()) co_return shared_->failed;
      const std::size_t room = kMaxColumnBytes - pending_bytes_;
      const std::size_t n = std::min(room, piece.size());
      size_ += n;
      pending_bytes_ += n;
      pending_.push_back(n == piece.size() ? std::move(piece) : piece.slice(0, n));
      piece = n == piece.size() ? Buffer() : piece.slice(n, piece.size() - n);
      if (pending_bytes_ == kMaxColumnBytes) co_await dispatch();
    }
    co_return shared_->failed;
  }
  std::uint64_t size() const override { return size_; }

  Task<Result<ObjectStat>> commit_object(ObjectTarget target, proto::ObjectMeta object,
                                         proto::Conditions conditions,
                                         proto::Identity owner) override {
    proto::Command command;
    proto::PutObject* put = command.mutable_put_object();
    put->set_bucket(std::move(target.bucket));
    put->set_key(std::move(target.key));
    put->set_size(size_);
    *put->mutable_object() = std::move(object);
    *put->mutable_conditions() = std::move(conditions);
    *put->mutable_owner() = std::move(owner);
    auto reply = co_await commit(std::move(command), [](proto::Command& c) {
      return c.mutable_put_object()->mutable_extents();
    });
    if (!reply.ok()) co_return reply.status();
    proto::ObjectReply* stored = reply->mutable_object();
    co_return ObjectStat{std::move(*stored->mutable_attributes()),
                         std::move(*stored->mutable_object())};
  }

  Task<Result<proto::PartReply>> commit_part(ObjectTarget target, std::string upload,
                                             std::uint32_t number, std::string etag,
                                             proto::ObjectMeta checksums) override {
    proto::Command command;
    proto::PutPart* put = command.mutable_put_part();
    put->set_bucket(std::move(target.bucket));
    put->set_key(std::move(target.key));
    put->set_upload(std::move(upload));
    put->set_number(number);
    put->set_size(size_);
    put->set_etag(std::move(etag));
    *put->mutable_checksums() = checksums.checksums();
    auto reply = co_await commit(std::move(command), [](proto::Command& c) {
      return c.mutable_put_part()->mutable_extents();
    });
    if (!reply.ok()) co_return reply.status();
    co_return reply->part();
  }

 private:
  using ExtentField = google::protobuf::RepeatedPtrField<proto::ExtentProto>;

  // What has collected becomes one piece on its way to the drives.
  Task<void> dispatch() {
    if (pending_bytes_ == 0) co_return;
    co_await shared_->slots.acquire();
    Buffer piece = flatten(std::exchange(pending_, {}));
    const std::uint64_t offset = size_ - pending_bytes_;
    pending_bytes_ = 0;
    dispatched_ = true;
    ++shared_->running;
    spawn(write_piece(shared_, std::move(piece), offset));
  }

  Task<Result<proto::CommandReply>> commit(proto::Command command,
                                           ExtentField* (*field)(proto::Command&)) {
    // A body of one piece is written in place, without a task of its own, and kept until it is
    // committed: if the session was lost in between, it can be written again.
    Buffer single;
    if (!dispatched_ && pending_bytes_ > 0) {
      single = flatten(std::exchange(pending_, {}));
      pending_bytes_ = 0;
    } else {
      co_await dispatch();
      while (shared_->running > 0) co_await shared_->drained.wait();
    }
    for (int attempt = 0;; ++attempt) {
      if (!single.empty()) {
        auto extent = co_await writer_.write(single, PieceHint{});
        if (!extent.ok()) co_return extent.status();
        extent->file_offset = 0;
        shared_->extents.assign(1, *extent);
      }
      if (!shared_->failed.ok()) co_return shared_->failed;
      std::sort(shared_->extents.begin(), shared_->extents.end(),
                [](const Extent& a, const Extent& b) { return a.file_offset < b.file_offset; });
      field(command)->Clear();
      wire::extents_to_proto(shared_->extents, field(command));
      auto reply = co_await metadata_.execute(command);
      committed_ = true;
      writer_.settled(shared_->extents);
      if (reply.ok() || reply.status().code() != StatusCode::kFenced) co_return reply;
      if (single.empty() || attempt > 0) {
        co_return UnavailableError("the session was lost during the upload; send it again");
      }
    }
  }

  MetadataClient& metadata_;
  PackWriter& writer_;
  std::shared_ptr<Shared> shared_;
  BufferList pending_;
  std::size_t pending_bytes_ = 0;
  std::uint64_t size_ = 0;
  bool dispatched_ = false;
  bool committed_ = false;
};

}  // namespace

std::unique_ptr<ObjectWriter> make_object_writer(MetadataClient& metadata, PackWriter& writer) {
  return std::make_unique<Writer>(metadata, writer);
}

}  // namespace shoal::client
