// Worker: owns the background tasks of one client session, runs each in passes, and tells metad how
// they are doing. What a task does must be safe to stop at any point, and safe beside another
// worker that does the same. Belongs to one executor.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "client/background/work_control.h"
#include "client/metadata_client.h"

namespace shoal::client {

class BackgroundTask {
 public:
  virtual ~BackgroundTask() = default;
  // One pass over what there is to do now. Ends early once `control` is stopping. Returns how long
  // to wait before the next one.
  virtual Task<Duration> pass(WorkControl* control) = 0;
  virtual void report(proto::TaskReport* out) const = 0;
};

class Worker {
 public:
  // `metadata` outlives it. `name` is for people.
  Worker(MetadataClient& metadata, Executor& executor, std::string name)
      : metadata_(metadata), executor_(executor), name_(std::move(name)), control_(executor) {}
  // stop() first, if it was started.
  ~Worker() { CHECK(scope_.running() == 0); }

  // Before start().
  void add(std::unique_ptr<BackgroundTask> task);
  void start();
  // Returns once every pass has ended.
  Task<void> stop();

 private:
  struct Entry {
    Entry(std::unique_ptr<BackgroundTask> t, Executor& executor)
        : task(std::move(t)), control(executor) {}
    std::unique_ptr<BackgroundTask> task;
    WorkControl control;
  };
  Task<void> run(Entry* entry);
  Task<void> report_often();
  Task<void> report();

  MetadataClient& metadata_;
  Executor& executor_;
  const std::string name_;
  WorkControl control_;  // of reporting
  std::vector<std::unique_ptr<Entry>> tasks_;
  TaskScope scope_;
};

}  // namespace shoal::client
