// What every worker does, whoever runs it: a program of its own or the all-in-one one.
#pragma once

#include <memory>
#include <string>

#include "client/background/limits.h"
#include "client/background/worker.h"
#include "client/client_stack.h"

namespace shoal::client {

struct WorkerOptions {
  RepackLimits repack;    // a rate of 0: no repack
  RebuildLimits rebuild;  // a rate of 0: no repair
};

// Of the stack that a worker works with.
PackWriterLimits worker_writer_limits();
// `stack` lives on `executor`, is the worker's own and outlives it.
std::unique_ptr<Worker> make_worker(ClientStack& stack, Executor& executor, std::string name,
                                    const WorkerOptions& options);

}  // namespace shoal::client
