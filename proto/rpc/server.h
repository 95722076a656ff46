// RpcServer: listens for RpcChannels and runs their requests on one executor. Replies batch
// themselves as requests do.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/async/sync.h"
#include "base/clock.h"
#include "proto/rpc/frame.h"

namespace shoal::rpc {

struct ServerOptions {
  std::string address;       // HOST:PORT; port 0: any free one
  std::string cluster_uuid;  // clients that mean another cluster are refused
  std::string name;          // for logs
};

class RpcServer {
 public:
  // Runs one request, on the executor. An error means that it was not run.
  using Handler = std::function<Task<Result<Message>>(Message request, MonotonicTime deadline)>;

  // Starts to listen. `handler` must stay valid until stop() has returned. Errors: kUnavailable
  // naming the address when it cannot be bound.
  static Result<std::unique_ptr<RpcServer>> listen(Executor& executor, ServerOptions options,
                                                   Handler handler);
  // stop() must have returned.
  virtual ~RpcServer() = default;
  // Ends all connections and waits for the requests under way. Not on the executor, which must be
  // running. Idempotent.
  virtual void stop() = 0;
  // HOST:PORT that is listened on.
  virtual const std::string& address() const = 0;
};

}  // namespace shoal::rpc
