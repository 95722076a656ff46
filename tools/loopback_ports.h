// LoopbackPorts: ports of 127.0.0.1 for daemons to listen on. Each is kept from other programs for
// as long as this object lives, also before its daemon listens and while it is started again.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace shoal::tools {

class LoopbackPorts {
 public:
  LoopbackPorts() = default;
  LoopbackPorts(const LoopbackPorts&) = delete;
  LoopbackPorts& operator=(const LoopbackPorts&) = delete;
  ~LoopbackPorts();

  // "127.0.0.1:PORT". A server must set SO_REUSEADDR to listen there, as gRPC's do. Errors:
  // kUnavailable when no port is free; those of the system.
  Result<std::string> reserve();

 private:
  std::vector<int> sockets_;  // bound, and do not listen
};

}  // namespace shoal::tools
