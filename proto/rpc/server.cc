#include "proto/rpc/server.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <atomic>
#include <utility>

#include "base/log.h"
#include "proto/rpc.pb.h"
#include "proto/rpc/grpc_settings.h"

namespace shoal::rpc {
namespace {

// Bytes and requests of one connection that were read and not yet answered; beyond it nothing more
// is read from it.
constexpr std::int64_t kMaxBytesUnderWay = 64 << 20;
constexpr std::int64_t kRequestOverheadBytes = 4096;

class Server;

// One connection. Reactions come on gRPC's threads and are handed to the executor; everything but
// the read buffer and the atomics belongs to the executor.
class Stream final : public grpc::ServerGenericBidiReactor,
                     public std::enable_shared_from_this<Stream> {
 public:
  Stream(Server& server, std::string peer) : server_(server), peer_(std::move(peer)) {}
  void start() {
    self_ = shared_from_this();
    StartRead(&in_);
  }

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone() override;

  void read_more();
  void take_frame(std::vector<Entry> entries);
  Status take_hello(const Entry& entry);
  Task<void> run(std::shared_ptr<Stream> self, Entry request);
  void reply(Entry entry);
  void schedule_flush();
  void flush();
  void end(const Status& status);

  Server& server_;
  const std::string peer_;
  std::shared_ptr<Stream> self_;  // until OnDone
  grpc::ByteBuffer in_;
  grpc::ByteBuffer out_;
  std::atomic<std::int64_t> bytes_under_way_{0};
  std::atomic<bool> paused_{false};
  bool greeted_ = false;
  bool writing_ = false;
  bool ended_ = false;     // nothing more is sent
  bool finished_ = false;  // Finish() was called
  Status end_status_;
  Outbox outbox_;
  bool flush_posted_ = false;
};

class Server final : public RpcServer, public grpc::CallbackGenericService {
 public:
  Server(Executor& loop, ServerOptions server_options, RpcServer::Handler request_handler)
      : executor(loop), options(std::move(server_options)), handler(std::move(request_handler)) {}
  ~Server() override { CHECK(server_ == nullptr); }

  Status start() {
    grpc::EnableDefaultHealthCheckService(false);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort(options.address, grpc::InsecureServerCredentials(), &port);
    builder.RegisterCallbackGenericService(this);
    set_server_arguments(&builder);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port == 0) {
      if (server_ != nullptr) server_->Shutdown();
      server_.reset();
      return UnavailableError("cannot listen on " + options.address +
                              ": the address is in use or not of this machine");
    }
    address_ = options.address.substr(0, options.address.rfind(':') + 1) + std::to_string(port);
    return OkStatus();
  }
  void stop() override {
    if (server_ == nullptr) return;
    server_->Shutdown(gpr_inf_past(GPR_CLOCK_REALTIME));  // nobody is waited for
    server_->Wait();
    server_.reset();
    struct Join {
      static Task<void> run(TaskScope* tasks) { co_await tasks->join(); }
    };
    sync_wait(executor, Join::run(&tasks));
  }
  const std::string& address() const override { return address_; }

  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* ctx) override {
    if (ctx->method() != kMethod) return CallbackGenericService::CreateReactor(ctx);
    auto stream = std::make_shared<Stream>(*this, ctx->peer());
    stream->start();
    return stream.get();
  }

  Executor& executor;
  const ServerOptions options;
  const RpcServer::Handler handler;
  TaskScope tasks;  // requests under way

 private:
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

void Stream::OnReadDone(bool ok) {
  if (!ok) {
    server_.executor.post([self = shared_from_this()] { self->end(OkStatus()); });
    return;
  }
  auto entries = decode_frame(in_);
  in_.Clear();
  if (!entries.ok()) {
    server_.executor.post(
        [self = shared_from_this(), status = entries.status()] { self->end(status); });
    return;
  }
  std::int64_t bytes = 0;
  for (const Entry& entry : *entries)
    bytes += static_cast<std::int64_t>(entry.size()) + kRequestOverheadBytes;
  const std::int64_t before = bytes_under_way_.fetch_add(bytes);
  server_.executor.post([self = shared_from_this(), batch = std::move(*entries)]() mutable {
    self->take_frame(std::move(batch));
  });
  if (before + bytes < kMaxBytesUnderWay) {
    StartRead(&in_);
    return;
  }
  paused_ = true;
  read_more();
}

// Reads on if reading was paused and there is room again; any thread.
void Stream::read_more() {
  if (bytes_under_way_ < kMaxBytesUnderWay && paused_.exchange(false)) StartRead(&in_);
}

void Stream::OnWriteDone(bool ok) {
  server_.executor.post([self = shared_from_this(), ok] {
    self->writing_ = false;
    self->out_.Clear();
    if (!ok) self->ended_ = true;
    if (self->ended_) {
      self->end(self->end_status_);
    } else {
      self->flush();
    }
  });
}

void Stream::OnDone() {
  // The last reference may be that of a request under way.
  server_.executor.post([self = std::move(self_)] { self->ended_ = true; });
}

void Stream::take_frame(std::vector<Entry> entries) {
  if (ended_) return;
  for (Entry& entry : entries) {
    if (entry.message.service == Service::kHello) {
      const Status welcome = take_hello(entry);
      if (!welcome.ok()) {
        log_warning("rpc", "a connection was refused",
                    {{"server", server_.options.name}, {"peer", peer_}, {"status", welcome}});
        end(welcome);
        return;
      }
      bytes_under_way_ -= static_cast<std::int64_t>(entry.size()) + kRequestOverheadBytes;
      continue;
    }
    if (!greeted_) {
      end(InvalidArgumentError("a request before the hello"));
      return;
    }
    server_.tasks.spawn(run(shared_from_this(), std::move(entry)));
  }
}

Status Stream::take_hello(const Entry& entry) {
  proto::Hello hello;
  if (greeted_ || !hello.ParseFromString(entry.message.body))
    return InvalidArgumentError("a hello that cannot be read or came twice");
  if (hello.version() != kProtocolVersion) {
    return NotSupportedError("protocol version " + std::to_string(hello.version()) +
                             " was asked for; this server speaks version " +
                             std::to_string(kProtocolVersion));
  }
  const std::string& own = server_.options.cluster_uuid;
  if (!hello.cluster_uuid().empty() && !own.empty() && hello.cluster_uuid() != own) {
    return FencedError("this " + server_.options.name + " belongs to cluster " + own + ", not to " +
                       hello.cluster_uuid());
  }
  greeted_ = true;
  proto::Hello answer;
  answer.set_version(kProtocolVersion);
  answer.set_cluster_uuid(own);
  answer.set_name(server_.options.name);
  Entry out;
  out.message = {Service::kHello, answer.SerializeAsString(), {}};
  reply(std::move(out));
  return OkStatus();
}

// `self` keeps the stream until the request has ended.
Task<void> Stream::run(std::shared_ptr<Stream> self, Entry request) {
  const auto bytes = static_cast<std::int64_t>(request.size()) + kRequestOverheadBytes;
  const MonotonicTime deadline =
      request.timeout_ms == 0
          ? MonotonicTime::max()
          : server_.executor.now() + std::chrono::milliseconds(request.timeout_ms);
  Entry out;
  out.id = request.id;
  out.message.service = request.message.service;
  auto answer = co_await server_.handler(std::move(request.message), deadline);
  if (answer.ok() && answer->body.size() + total_size(answer->payload) > kMaxEntryBytes)
    answer = TooLargeError("the reply is larger than " + std::to_string(kMaxEntryBytes) + " bytes");
  if (answer.ok()) {
    out.message = std::move(*answer);
  } else {
    out.refusal = answer.status().code();
    out.message.body = answer.status().message();
  }
  self->reply(std::move(out));
  self->bytes_under_way_ -= bytes;
  if (!self->ended_) self->read_more();
}

void Stream::reply(Entry entry) {
  if (ended_) return;
  outbox_.push(std::move(entry));
  schedule_flush();
}

void Stream::schedule_flush() {
  if (std::exchange(flush_posted_, true)) return;
  server_.executor.post([self = shared_from_this()] {
    self->flush_posted_ = false;
    self->flush();
  });
}

void Stream::flush() {
  if (ended_ || writing_ || outbox_.empty()) return;
  out_ = encode_frame(outbox_.take_batch());
  writing_ = true;
  StartWrite(&out_);
}

void Stream::end(const Status& status) {
  if (!ended_) end_status_ = status;
  ended_ = true;
  outbox_.clear();
  if (writing_ || std::exchange(finished_, true)) return;
  Finish(to_grpc(end_status_));
}

}  // namespace

Result<std::unique_ptr<RpcServer>> RpcServer::listen(Executor& executor, ServerOptions options,
                                                     Handler handler) {
  auto server = std::make_unique<Server>(executor, std::move(options), std::move(handler));
  RETURN_IF_ERROR(server->start());
  return std::unique_ptr<RpcServer>(std::move(server));
}

}  // namespace shoal::rpc
