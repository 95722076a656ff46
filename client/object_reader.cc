#include <algorithm>
#include <deque>

#include "base/async/sync.h"
#include "base/extent_list.h"
#include "client/object_io.h"
#include "client/limits.h"
#include "proto/wire/convert.h"

namespace shoal::client {
namespace {

constexpr std::uint64_t kHoleBytes = 1 << 20;  // zeros given at once

using PieceResult = std::shared_ptr<Completion<Result<Buffer>>>;

// What a body is of, as its pieces need to know it.
struct Source {
  MetadataClient* metadata = nullptr;
  ExtentReader* reader = nullptr;
  std::uint64_t inode = 0;
  std::uint64_t data_version = 0;
};

// Where bytes [from, to) of the file lie now. Errors: kAborted when they are others.
Task<Result<proto::EntryReply>> ask_extents(Source source, std::uint64_t from, std::uint64_t to) {
  proto::Query query;
  query.mutable_get_extents()->set_inode(source.inode);
  query.mutable_get_extents()->set_offset(from);
  query.mutable_get_extents()->set_length(to - from);
  auto reply = co_await source.metadata->query(std::move(query));
  if (!reply.ok()) co_return reply.status();
  if (reply->entry().attributes().data_version() != source.data_version)
    co_return AbortedError("the object changed while it was read");
  co_return std::move(*reply->mutable_entry());
}

// Repack may have moved the bytes since the extent was asked for, and their old pack may be gone:
// then they are read where they lie now.
Task<Result<Buffer>> read_where_it_is(Source source, Extent extent, std::uint32_t offset,
                                      std::uint32_t length) {
  for (int attempt = 0;; ++attempt) {
    auto bytes = co_await source.reader->read(extent, offset, length);
    if (bytes.ok() || attempt == kMovedAttempts) co_return bytes;
    const std::uint64_t from = extent.file_offset + offset;
    const auto entry = co_await ask_extents(source, from, from + length);
    if (!entry.ok()) co_return bytes;
    const auto extents = wire::extents_from_proto(entry->extents());
    if (!extents.ok() || extents->size() != 1) co_return bytes;
    const Extent& now = extents->front();
    if (now.pack == extent.pack && now.row == extent.row) co_return bytes;
    if (now.file_offset != from || now.length != length) co_return bytes;
    extent = now;
    offset = 0;
  }
}

Task<void> fetch(Source source, Extent extent, std::uint32_t offset, std::uint32_t length,
                 PieceResult out) {
  out->set(co_await read_where_it_is(source, extent, offset, length));
}

Task<void> close_file(MetadataClient* metadata, std::uint64_t inode) {
  proto::Query query;
  query.mutable_close_file()->set_inode(inode);
  const auto reply = co_await metadata->query(std::move(query));
  // Whoever was the last to hold a file without a name says so.
  if (reply.ok() && reply->entry().attributes().inode() == inode &&
      reply->entry().attributes().link_count() == 0) {
    proto::Command command;
    command.mutable_release_orphan()->set_inode(inode);
    (void)co_await metadata->execute(std::move(command));
  }
}

class Reader final : public ObjectReader {
 public:
  Reader(MetadataClient& metadata, ExtentReader& reader, proto::Attributes attributes,
         ByteRange range, ExtentList extents, bool more)
      : metadata_(metadata),
        source_{&metadata, &reader, attributes.inode(), attributes.data_version()},
        attributes_(std::move(attributes)),
        at_(range.offset),
        end_(range.offset + range.length),
        planned_(range.offset),
        extents_(extents.begin(), extents.end()),
        more_(more) {}
  ~Reader() override {
    if (held_) spawn(close_file(&metadata_, attributes_.inode()));
  }

  Task<void> hold() {
    proto::Query query;
    query.mutable_open_file()->set_inode(attributes_.inode());
    const auto reply = co_await metadata_.query(std::move(query));
    held_ = reply.ok();  // if it is gone already, what can still be read is read
  }

  Task<Result<Buffer>> next() override {
    if (at_ >= end_) co_return Buffer();
    // The common case: one extent holds all of the range.
    if (pieces_.empty() && !more_ && extents_.size() == 1 && extents_[0].file_offset <= at_ &&
        extents_[0].file_end() >= end_) {
      const Extent extent = extents_[0];
      const auto offset = static_cast<std::uint32_t>(at_ - extent.file_offset);
      const auto length = static_cast<std::uint32_t>(end_ - at_);
      at_ = end_;
      co_return co_await read_where_it_is(source_, extent, offset, length);
    }
    CO_RETURN_IF_ERROR(co_await plan());
    if (pieces_.empty()) co_return InternalError("a read that plans nothing");
    const PieceResult piece = pieces_.front();
    pieces_.pop_front();
    auto bytes = co_await piece->take();
    if (bytes.ok()) at_ += bytes->size();
    co_return bytes;
  }

 private:
  // Starts reads until enough are under way.
  Task<Status> plan() {
    while (pieces_.size() < kPiecesInFlight && planned_ < end_) {
      while (!extents_.empty() && extents_.front().file_end() <= planned_) extents_.pop_front();
      if (extents_.empty() && more_) {
        CO_RETURN_IF_ERROR(co_await fetch_extents());
        continue;
      }
      auto piece = std::make_shared<Completion<Result<Buffer>>>();
      const std::uint64_t hole_end =
          extents_.empty() ? end_ : std::min(end_, extents_.front().file_offset);
      if (planned_ < hole_end) {
        const std::uint64_t n = std::min(kHoleBytes, hole_end - planned_);
        piece->set(Buffer::zeros(n));
        planned_ += n;
      } else {
        const Extent& extent = extents_.front();
        const auto offset = static_cast<std::uint32_t>(planned_ - extent.file_offset);
        const auto length =
            static_cast<std::uint32_t>(std::min(end_, extent.file_end()) - planned_);
        spawn(fetch(source_, extent, offset, length, piece));
        planned_ += length;
      }
      pieces_.push_back(std::move(piece));
    }
    co_return OkStatus();
  }

  Task<Status> fetch_extents() {
    const auto entry = co_await ask_extents(source_, planned_, end_);
    if (!entry.ok()) co_return entry.status();
    auto extents = wire::extents_from_proto(entry->extents());
    if (!extents.ok()) co_return extents.status();
    extents_.insert(extents_.end(), extents->begin(), extents->end());
    more_ = entry->more_extents();
    co_return OkStatus();
  }

  MetadataClient& metadata_;
  const Source source_;
  const proto::Attributes attributes_;
  std::uint64_t at_;
  const std::uint64_t end_;
  std::uint64_t planned_;
  std::deque<Extent> extents_;
  bool more_;
  bool held_ = false;
  std::deque<PieceResult> pieces_;
};

}  // namespace

Task<std::unique_ptr<ObjectReader>> make_object_reader(MetadataClient& metadata,
                                                       ExtentReader& reader,
                                                       proto::Attributes attributes,
                                                       ByteRange range, ExtentList extents,
                                                       bool more) {
  const bool many = extents.size() > 1 || more;
  auto made = std::make_unique<Reader>(metadata, reader, std::move(attributes), range,
                                       std::move(extents), more);
  if (many) co_await made->hold();
  co_return made;
}

}  // namespace shoal::client
