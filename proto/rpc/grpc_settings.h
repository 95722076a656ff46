// How our gRPC connections are set up, both sides, and the mapping of gRPC's statuses. Private to
// this folder.
#pragma once

#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/status.h>

#include "base/status.h"

namespace grpc {
class ServerBuilder;
}

namespace shoal::rpc {

// The one method: a bidirectional stream of frames.
inline constexpr char kMethod[] = "/shoal.rpc.v1.Transport/Connect";

// gRPC's own log goes to ours as debug output: what matters comes back as a Status. Once;
// idempotent.
void redirect_grpc_log();

grpc::ChannelArguments client_arguments();
void set_server_arguments(grpc::ServerBuilder* builder);

// What a broken or refused stream means for its calls: kUnavailable, unless the peer said more.
Status from_grpc(const grpc::Status& status);
grpc::Status to_grpc(const Status& status);

}  // namespace shoal::rpc
