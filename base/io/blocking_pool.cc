#include "base/io/blocking_pool.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

namespace shoal {

namespace {
// A third of the weight: on a busy machine it gets on, too.
constexpr int kLowNice = 5;
}  // namespace

void lower_thread_priority() {
  // One's own may always be lowered.
  (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kLowNice);
}

ThreadPool::ThreadPool(std::string name, int threads, Priority priority) : name_(std::move(name)) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this, priority] {
      pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
      if (priority == Priority::kLow) lower_thread_priority();
      serve();
    });
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::submit(Callback work) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
  }
  work_changed_.notify_one();
}

void ThreadPool::serve() {
  while (true) {
    std::unique_lock lock(mutex_);
    work_changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    Callback work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
  }
}

}  // namespace shoal
