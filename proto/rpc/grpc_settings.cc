#include "proto/rpc/grpc_settings.h"

#include <grpc/support/log.h>
#include <grpcpp/server_builder.h>

#include <mutex>

#include "base/log.h"
#include "proto/rpc/frame.h"

namespace shoal::rpc {
namespace {

// HTTP/2: large frames and windows, so that a fragment is not cut into sixty-four pieces.
constexpr int kHttp2FrameBytes = 4 << 20;
constexpr int kHttp2WindowBytes = 8 << 20;
// A peer that does not answer pings for this long is gone (a stopped process, a cut wire).
constexpr int kKeepaliveMs = 10'000;
constexpr int kKeepaliveTimeoutMs = 5'000;
// Trying again after a refused connection.
constexpr int kFirstBackoffMs = 50;
constexpr int kMaxBackoffMs = 500;
constexpr int kConnectTimeoutMs = 2'000;

}  // namespace

void redirect_grpc_log() {
  static std::once_flag once;
  std::call_once(once, [] {
    gpr_set_log_function([](gpr_log_func_args* event) {
      log_event(LogLevel::kDebug, "grpc", event->message, {{"file", event->file}});
    });
  });
}

grpc::ChannelArguments client_arguments() {
  redirect_grpc_log();
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, static_cast<int>(kMaxFrameBytes));
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kHttp2FrameBytes);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kHttp2WindowBytes);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstBackoffMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxBackoffMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectTimeoutMs);
  return arguments;
}

void set_server_arguments(grpc::ServerBuilder* builder) {
  redirect_grpc_log();
  builder->SetMaxReceiveMessageSize(static_cast<int>(kMaxFrameBytes));
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kHttp2FrameBytes);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kHttp2WindowBytes);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                              kKeepaliveTimeoutMs);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
}

Status from_grpc(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::OK: return OkStatus();
    case grpc::StatusCode::UNIMPLEMENTED:
      return NotSupportedError(status.error_message().empty() ? "it is no Shoal daemon"
                                                              : status.error_message());
    case grpc::StatusCode::FAILED_PRECONDITION: return FencedError(status.error_message());
    case grpc::StatusCode::INVALID_ARGUMENT: return InvalidArgumentError(status.error_message());
    default:
      return UnavailableError(status.error_message().empty() ? "the connection broke"
                                                             : status.error_message());
  }
}

grpc::Status to_grpc(const Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return {static_cast<grpc::StatusCode>(status_code_to_grpc(status.code())), status.message()};
}

}  // namespace shoal::rpc
