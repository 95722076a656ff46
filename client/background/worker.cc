#include "client/background/worker.h"

#include "base/log.h"
#include "client/background/limits.h"

namespace shoal::client {

void Worker::add(std::unique_ptr<BackgroundTask> task) {
  tasks_.push_back(std::make_unique<Entry>(std::move(task), executor_));
}

void Worker::start() {
  for (const auto& entry : tasks_) scope_.spawn(run(entry.get()));
  scope_.spawn(report_often());
}

Task<void> Worker::stop() {
  control_.stop();
  for (const auto& entry : tasks_) entry->control.stop();
  co_await scope_.join();
}

Task<void> Worker::run(Entry* entry) {
  bool goes_on = true;
  while (goes_on) {
    const Duration wait = co_await entry->task->pass(&entry->control);
    // Who waits for the end of a pass hears of it now.
    if (!entry->control.stopping()) co_await report();
    goes_on = co_await entry->control.rest(wait);
  }
}

Task<void> Worker::report_often() {
  bool goes_on = true;
  while (goes_on) {
    co_await report();
    goes_on = co_await control_.pause(kReportInterval);
  }
}

Task<void> Worker::report() {
  proto::Query query;
  proto::WorkerReport* out = query.mutable_report_worker()->mutable_report();
  out->set_worker(name_);
  for (const auto& entry : tasks_) entry->task->report(out->add_tasks());
  const auto reply = co_await metadata_.query(std::move(query));
  if (!reply.ok() && !control_.stopping())
    log_warning("worker", "metad takes no report", {{"status", reply.status()}});
}

}  // namespace shoal::client
