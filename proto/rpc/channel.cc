#include "proto/rpc/channel.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "proto/rpc.pb.h"
#include "proto/rpc/grpc_settings.h"

namespace shoal::rpc {
namespace {

// How late a call may learn that its deadline has passed.
constexpr Duration kDeadlineTick = std::chrono::milliseconds(20);
// Longer than any call may wait: what MonotonicTime::max() becomes on the wire.
constexpr std::uint32_t kNoTimeout = 0;

Entry hello_entry(const ChannelOptions& options) {
  proto::Hello hello;
  hello.set_version(kProtocolVersion);
  hello.set_cluster_uuid(options.cluster_uuid);
  hello.set_name(options.name);
  Entry entry;
  entry.message.service = Service::kHello;
  entry.message.body = hello.SerializeAsString();
  return entry;
}

std::uint32_t timeout_of(MonotonicTime deadline, MonotonicTime now) {
  if (deadline == MonotonicTime::max()) return kNoTimeout;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now).count();
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(left, 1, 24 * 3600 * 1000));
}

}  // namespace

// The gRPC side: its reactions come on gRPC's threads and are handed to the executor. Everything
// but the read buffer belongs to the executor.
class RpcChannel::Stream final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                                 public std::enable_shared_from_this<Stream> {
 public:
  Stream(RpcChannel& owner, Executor& executor) : owner_(owner), executor_(executor) {}

  void start(const std::shared_ptr<grpc::Channel>& channel) {
    self_ = shared_from_this();
    grpc::TemplatedGenericStub<grpc::ByteBuffer, grpc::ByteBuffer> stub(channel);
    stub.PrepareBidiStreamingCall(&context_, kMethod, grpc::StubOptions(), this);
    AddHold();  // writes are started outside reactions
    StartRead(&in_);
    StartCall();
  }
  void write(grpc::ByteBuffer frame) {
    out_ = std::move(frame);
    writing = true;
    StartWrite(&out_);
  }
  void cancel() { context_.TryCancel(); }
  // No write will be started any more.
  void let_go() {
    if (std::exchange(let_go_, true)) return;
    context_.TryCancel();
    RemoveHold();
  }
  void clear_written() { out_.Clear(); }

  bool writing = false;
  bool ended = false;  // no write may be started

 private:
  void OnReadDone(bool ok) override {
    if (!ok) {
      post([](RpcChannel& owner, Stream* stream) { owner.on_read_end(stream); });
      return;
    }
    auto entries = decode_frame(in_);
    in_.Clear();
    executor_.post([self = shared_from_this(), entries = std::move(entries)]() mutable {
      self->owner_.on_frame(self.get(), std::move(entries));
    });
    StartRead(&in_);
  }
  void OnWriteDone(bool ok) override {
    executor_.post([self = shared_from_this(), ok] { self->owner_.on_write_done(self.get(), ok); });
  }
  void OnDone(const grpc::Status& status) override {
    executor_.post([self = std::move(self_), status = from_grpc(status)] {
      self->owner_.on_done(self.get(), status);
    });
  }
  template <typename Fn>
  void post(Fn fn) {
    executor_.post([self = shared_from_this(), fn] { fn(self->owner_, self.get()); });
  }

  RpcChannel& owner_;
  Executor& executor_;
  grpc::ClientContext context_;
  grpc::ByteBuffer in_;
  grpc::ByteBuffer out_;
  bool let_go_ = false;
  std::shared_ptr<Stream> self_;  // until OnDone
};

RpcChannel::RpcChannel(Executor& executor, ChannelOptions options)
    : executor_(executor), options_(std::move(options)) {}

RpcChannel::~RpcChannel() { CHECK(live_streams_ == 0 && calls_.empty()); }

Task<Result<Message>> RpcChannel::call(Message request, MonotonicTime deadline) {
  if (closing_) co_return CancelledError("the connection to " + options_.address + " is closed");
  const MonotonicTime now = executor_.now();
  if (deadline <= now) co_return DeadlineExceededError("no time left to ask " + options_.address);
  Entry entry;
  entry.id = next_id_++;
  entry.timeout_ms = timeout_of(deadline, now);
  entry.message = std::move(request);
  if (entry.size() > kMaxEntryBytes) {
    co_return TooLargeError("a request of " + std::to_string(entry.size()) + " bytes to " +
                            options_.address + "; " + std::to_string(kMaxEntryBytes) +
                            " are allowed");
  }
  Call call{deadline, now, {}};
  calls_.emplace(entry.id, &call);
  outbox_.push(std::move(entry));
  if (stream_ == nullptr) connect();
  schedule_flush();
  if (deadline != MonotonicTime::max()) watch_deadlines();
  co_return co_await call.done.take();
}

Task<void> RpcChannel::close() {
  closing_ = true;
  executor_.cancel(std::exchange(deadline_timer_, {}));
  fail_calls(CancelledError("the connection to " + options_.address + " is closed"));
  if (stream_ != nullptr) {
    stream_->ended = true;
    if (!stream_->writing) stream_->let_go();
  }
  // A write under way ends soon or is cancelled with the stream by on_write_done.
  while (live_streams_ > 0) co_await streams_ended_.wait();
  channel_.reset();
}

void RpcChannel::connect() {
  if (channel_ == nullptr) {
    channel_ = grpc::CreateCustomChannel(options_.address, grpc::InsecureChannelCredentials(),
                                         client_arguments());
  }
  stream_trouble_ = OkStatus();
  stream_ = std::make_shared<Stream>(*this, executor_);
  ++live_streams_;
  stream_->start(channel_);
  // The hello goes first; requests may follow in the same frame.
  outbox_.push_front(hello_entry(options_));
}

void RpcChannel::schedule_flush() {
  if (std::exchange(flush_posted_, true)) return;
  executor_.post([this] {
    flush_posted_ = false;
    flush();
  });
}

void RpcChannel::flush() {
  if (stream_ == nullptr || stream_->ended || stream_->writing || outbox_.empty()) return;
  stream_->write(encode_frame(outbox_.take_batch()));
}

void RpcChannel::on_write_done(Stream* stream, bool ok) {
  stream->writing = false;
  stream->clear_written();
  if (!ok) stream->ended = true;
  if (stream->ended) {
    stream->let_go();
  } else if (stream == stream_.get()) {
    flush();
  }
}

void RpcChannel::on_read_end(Stream* stream) {
  stream->ended = true;
  if (!stream->writing) stream->let_go();
}

void RpcChannel::on_frame(Stream* stream, Result<std::vector<Entry>> entries) {
  if (stream != stream_.get() || stream->ended) return;
  Status trouble = entries.status();
  if (trouble.ok()) {
    for (Entry& entry : *entries) {
      if (entry.message.service == Service::kHello) {
        trouble = take_hello(entry);
        if (!trouble.ok()) break;
        continue;
      }
      heard_at_ = executor_.now();
      const auto found = calls_.find(entry.id);
      if (found == calls_.end()) continue;  // its deadline has passed
      Call* const call = found->second;
      calls_.erase(found);
      if (entry.refusal == StatusCode::kOk) {
        call->done.set(std::move(entry.message));
      } else {
        call->done.set(Status(entry.refusal, entry.message.body));
      }
    }
  }
  if (!trouble.ok()) give_up(stream, trouble);
}

void RpcChannel::give_up(Stream* stream, const Status& why) {
  stream_trouble_ = why;
  stream->cancel();  // a write under way may wait for the peer
  on_read_end(stream);
}

Status RpcChannel::take_hello(const Entry& entry) {
  proto::Hello hello;
  if (!hello.ParseFromString(entry.message.body))
    return CorruptionError("a hello that cannot be read");
  if (hello.version() != kProtocolVersion) {
    return NotSupportedError("it speaks protocol version " + std::to_string(hello.version()) +
                             ", this program " + std::to_string(kProtocolVersion));
  }
  if (options_.cluster_uuid.empty()) options_.cluster_uuid = hello.cluster_uuid();
  if (!hello.cluster_uuid().empty() && hello.cluster_uuid() != options_.cluster_uuid)
    return FencedError("it belongs to cluster " + hello.cluster_uuid());
  return OkStatus();
}

void RpcChannel::on_done(Stream* stream, const Status& status) {
  if (stream == stream_.get()) {
    stream_.reset();
    const Status& why = stream_trouble_.ok() ? status : stream_trouble_;
    fail_calls(why.ok() ? UnavailableError(options_.address + " ended the connection")
                        : why.with_context(options_.address));
  }
  --live_streams_;
  streams_ended_.notify_all();
}

void RpcChannel::fail_calls(const Status& status) {
  outbox_.clear();
  for (const auto& [id, call] : std::exchange(calls_, {})) call->done.set(status);
}

void RpcChannel::watch_deadlines() {
  if (deadline_timer_.value != 0) return;
  deadline_timer_ = executor_.schedule_at(executor_.now() + kDeadlineTick, [this] {
    deadline_timer_ = {};
    expire_calls();
  });
}

void RpcChannel::expire_calls() {
  const MonotonicTime now = executor_.now();
  std::vector<std::uint64_t> expired;
  bool some_left = false;
  bool silent = false;
  for (const auto& [id, call] : calls_) {
    if (call->deadline <= now) {
      expired.push_back(id);
      silent = silent || (heard_at_ <= call->begin && now - call->begin >= options_.silence);
    } else {
      some_left = some_left || call->deadline != MonotonicTime::max();
    }
  }
  for (const std::uint64_t id : expired) {
    const auto found = calls_.find(id);
    Call* const call = found->second;
    calls_.erase(found);
    call->done.set(DeadlineExceededError(options_.address + " gave no answer in time"));
  }
  if (!expired.empty()) {
    // What was not sent need not be sent any more.
    outbox_.drop_if([&](const Entry& entry) {
      return entry.message.service != Service::kHello && !calls_.contains(entry.id);
    });
  }
  if (silent && stream_ != nullptr && !stream_->ended) {
    log_warning("rpc", "a connection is given up: nothing comes from the peer",
                {{"peer", options_.address}, {"name", options_.name}});
    give_up(stream_.get(), UnavailableError("nothing came in time"));
  }
  if (some_left) watch_deadlines();
}

}  // namespace shoal::rpc
