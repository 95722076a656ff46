#include "client/background/make_worker.h"

#include "client/background/rebuilder.h"
#include "client/background/repacker.h"

namespace shoal::client {

PackWriterLimits worker_writer_limits() {
  PackWriterLimits limits;
  limits.reclaiming = true;
  limits.slow_floor = kBackgroundPatience;
  return limits;
}

std::unique_ptr<Worker> make_worker(ClientStack& stack, Executor& executor, std::string name,
                                    const WorkerOptions& options) {
  auto worker = std::make_unique<Worker>(stack.metadata(), executor, std::move(name));
  if (options.repack.bytes_per_second > 0) {
    RepackerOptions repack{stack.metadata(), stack.router(), stack.writer(),
                           stack.reader(),   executor,       options.repack};
    worker->add(std::make_unique<Repacker>(repack));
  }
  if (options.rebuild.bytes_per_second > 0) {
    RebuilderOptions rebuild{stack.metadata(), stack.router(), executor, options.rebuild};
    worker->add(std::make_unique<Rebuilder>(rebuild));
  }
  return worker;
}

}  // namespace shoal::client
