#include "base/io/event_loop.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/check.h"
#include "base/memory.h"

namespace shoal {
namespace {

constexpr int kMaxEvents = 256;

}  // namespace

Result<std::unique_ptr<EventLoop>> EventLoop::create(std::string name) {
  const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) return ErrnoError(errno, "epoll_create1 for " + name);
  const int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd < 0) {
    const int err = errno;
    close(epoll_fd);
    return ErrnoError(err, "eventfd for " + name);
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = wake_fd;
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake_fd, &event) != 0) {
    const int err = errno;
    close(wake_fd);
    close(epoll_fd);
    return ErrnoError(err, "epoll_ctl for " + name);
  }
  return std::unique_ptr<EventLoop>(new EventLoop(std::move(name), epoll_fd, wake_fd));
}

EventLoop::EventLoop(std::string name, int epoll_fd, int wake_fd)
    : name_(std::move(name)), epoll_fd_(epoll_fd), wake_fd_(wake_fd) {}

EventLoop::~EventLoop() {
  CHECK(!thread_.joinable());
  while (wakers_.load(std::memory_order_acquire) != 0) std::this_thread::yield();
  close(wake_fd_);
  close(epoll_fd_);
}

void EventLoop::start() {
  CHECK(!thread_.joinable());
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), name_.substr(0, 15).c_str());
    run();
  });
}

void EventLoop::stop() {
  post([this] { stopping_.store(true, std::memory_order_relaxed); });
}

void EventLoop::join() {
  if (thread_.joinable()) thread_.join();
}

void EventLoop::run() {
  Executor* const outer = std::exchange(current_, this);
  watch_quiet();
  while (true) {
    ++turns_;
    bool worked = run_posted();
    worked |= run_timers();
    worked |= run_pollers();
    if (stopping_.load(std::memory_order_relaxed) && !worked) break;
    wait(worked ? 0 : sleep_timeout_ms());
  }
  current_ = outer;
}

// A loop that had little to do for a while gives the memory of its busier times back.
void EventLoop::watch_quiet() {
  constexpr std::chrono::seconds kInterval{15};
  constexpr std::uint64_t kFewTurns = 1000;
  schedule_at(now() + kInterval, [this] {
    if (turns_ - watched_turns_ < kFewTurns) release_free_memory();
    watched_turns_ = turns_;
    watch_quiet();
  });
}

void EventLoop::post(Callback callback) { enqueue(Item(std::move(callback))); }
void EventLoop::resume(std::coroutine_handle<> handle) { enqueue(Item(handle)); }

void EventLoop::enqueue(Item item) {
  if (current_ == this) {
    local_.push_back(std::move(item));
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(item));
    // Of the lock here and that in wait() one comes first: either the loop sees the item before it
    // sleeps, or we see that it sleeps.
    if (!sleeping_.load(std::memory_order_relaxed)) return;
    if (!sleeping_.exchange(false, std::memory_order_relaxed)) return;
    wakers_.fetch_add(1, std::memory_order_relaxed);
  }
  // The item may be run by now, and whoever waited for it may be about to destroy the loop: the
  // destructor waits for us.
  wakeups_.fetch_add(1, std::memory_order_relaxed);
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(wake_fd_, &one, sizeof one);  // full means already awake
  wakers_.fetch_sub(1, std::memory_order_release);
}

bool EventLoop::run_posted() {
  {
    const std::lock_guard lock(mutex_);
    running_.swap(posted_);
  }
  bool worked = !running_.empty();
  // Local items first in, after what other threads had posted before this iteration.
  for (int round = 0; round < 2; ++round) {
    for (Item& item : running_) {
      if (auto* callback = std::get_if<Callback>(&item)) {
        (*callback)();
      } else {
        std::get<std::coroutine_handle<>>(item).resume();
      }
    }
    running_.clear();
    if (round == 0) {
      running_.swap(local_);
      worked |= !running_.empty();
    }
  }
  return worked || !local_.empty();
}

TimerId EventLoop::schedule_at(MonotonicTime when, Callback callback) {
  const std::uint64_t id = next_timer_++;
  timers_.emplace(std::pair(when, id), std::move(callback));
  timer_times_.emplace(id, when);
  return TimerId{id};
}

void EventLoop::cancel(TimerId timer) {
  const auto found = timer_times_.find(timer.value);
  if (found == timer_times_.end()) return;
  timers_.erase({found->second, timer.value});
  timer_times_.erase(found);
}

bool EventLoop::run_timers() {
  if (timers_.empty()) return false;
  const MonotonicTime time = now();
  bool worked = false;
  while (!timers_.empty() && timers_.begin()->first.first <= time) {
    auto first = timers_.begin();
    Callback callback = std::move(first->second);
    timer_times_.erase(first->first.second);
    timers_.erase(first);
    callback();
    worked = true;
  }
  return worked;
}

bool EventLoop::run_pollers() {
  bool worked = false;
  for (std::size_t i = 0; i < pollers_.size(); ++i) worked |= pollers_[i].second();
  return worked;
}

int EventLoop::sleep_timeout_ms() const {
  if (!local_.empty()) return 0;
  if (timers_.empty()) return -1;
  const auto left = timers_.begin()->first.first - now();
  if (left <= Duration::zero()) return 0;
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::min<std::int64_t>(ms, 60'000));
}

void EventLoop::wait(int timeout_ms) {
  if (timeout_ms != 0) {
    const std::lock_guard lock(mutex_);
    sleeping_.store(true, std::memory_order_relaxed);
    if (!posted_.empty()) timeout_ms = 0;
  }
  std::array<epoll_event, kMaxEvents> events;
  const int count = epoll_wait(epoll_fd_, events.data(), kMaxEvents, timeout_ms);
  sleeping_.store(false, std::memory_order_relaxed);
  // The generations tell a watch that is still the same from one that an earlier callback replaced.
  std::array<std::pair<int, std::shared_ptr<Watch>>, kMaxEvents> ready;
  for (int i = 0; i < count; ++i) {
    const int fd = events[static_cast<std::size_t>(i)].data.fd;
    if (fd == wake_fd_) {
      std::uint64_t value = 0;
      [[maybe_unused]] const ssize_t n = read(wake_fd_, &value, sizeof value);
      continue;
    }
    const auto found = watches_.find(fd);
    if (found != watches_.end()) ready[static_cast<std::size_t>(i)] = {fd, found->second};
  }
  for (int i = 0; i < count; ++i) {
    auto& [fd, watch] = ready[static_cast<std::size_t>(i)];
    if (watch == nullptr) continue;
    const auto found = watches_.find(fd);
    if (found == watches_.end() || found->second->generation != watch->generation) continue;
    watch->callback(events[static_cast<std::size_t>(i)].events);
  }
}

Status EventLoop::watch(int fd, std::uint32_t events, ReadyCallback callback) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) {
    return ErrnoError(errno, name_ + ": epoll_ctl add fd " + std::to_string(fd));
  }
  watches_[fd] = std::make_shared<Watch>(Watch{std::move(callback), next_generation_++});
  return OkStatus();
}

Status EventLoop::rearm(int fd, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  if (epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, fd, &event) != 0) {
    return ErrnoError(errno, name_ + ": epoll_ctl modify fd " + std::to_string(fd));
  }
  return OkStatus();
}

void EventLoop::unwatch(int fd) {
  if (watches_.erase(fd) > 0) epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
}

void EventLoop::add_poller(const void* owner, Poller poller) {
  pollers_.emplace_back(owner, std::move(poller));
}

void EventLoop::remove_poller(const void* owner) {
  std::erase_if(pollers_, [owner](const auto& entry) { return entry.first == owner; });
}

}  // namespace shoal
