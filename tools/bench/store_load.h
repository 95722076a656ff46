// StoreLoad: loads below the doors: objects through ObjectApi, files through PosixApi, from many
// coroutines on the client's own loop.
#pragma once

#include <string>

#include "base/result.h"
#include "client/client_stack.h"
#include "tools/bench/report.h"

namespace shoal::tools {

struct StoreLoadOptions {
  std::string operation;  // data: put, get; meta: create, stat, rename, readdir, unlink
  std::uint64_t size_bytes = 4096;
  std::uint64_t concurrency = 64;
  double seconds = 10;
  std::uint64_t count = 10'000;  // objects or files that all but put and create find
};

// On the stack's executor. Errors: kInvalidArgument for an unknown operation, and what preparing
// the objects or files gave; errors of the load itself are counted.
Task<Result<LoadReport>> run_data_load(client::ClientStack* stack, StoreLoadOptions options);
Task<Result<LoadReport>> run_meta_load(client::ClientStack* stack, StoreLoadOptions options);

}  // namespace shoal::tools
