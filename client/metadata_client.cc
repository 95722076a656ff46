#include "client/metadata_client.h"

#include <algorithm>
#include <vector>

#include "base/async/sync.h"
#include "base/log.h"
#include "proto/wire/convert.h"

namespace shoal::client {
namespace {

using std::chrono::milliseconds;

constexpr Duration kAttemptDeadline = std::chrono::seconds(10);
// A client that has nothing to do asks for a newer map so often, which also renews its lease.
constexpr Duration kMapInterval = milliseconds(500);
constexpr Duration kFirstBackoff = milliseconds(5);
constexpr Duration kMaxBackoff = milliseconds(500);

bool is_retryable(const Status& status) {
  return status.code() == StatusCode::kUnavailable ||
         status.code() == StatusCode::kDeadlineExceeded;
}

class Client final : public MetadataClient {
 public:
  explicit Client(MetadataClientOptions options)
      : options_(std::move(options)), free_slots_(options_.slot_count) {
    for (std::uint32_t i = options_.slot_count; i > 0; --i) slots_.push_back(i - 1);
    sequences_.resize(options_.slot_count, 0);
  }
  ~Client() override { CHECK(scope_.running() == 0); }

  Task<Status> connect() override;
  Task<Status> close() override;
  Task<Result<proto::CommandReply>> execute(proto::Command command) override;
  Task<Result<proto::QueryReply>> query(proto::Query query) override;
  SessionId session() const override { return SessionId(session_); }
  std::uint64_t session_generation() const override { return generation_; }
  std::shared_ptr<const ClusterMap> cluster_map() const override { return map_; }
  Task<Status> refresh_cluster_map() override;
  void on_new_map(std::weak_ptr<void> owner, std::function<void()> listener) override {
    listeners_.emplace_back(std::move(owner), std::move(listener));
  }

 private:
  Task<Status> open_session();
  Task<Status> renew_session(std::uint64_t lost_session);
  Task<Result<proto::CommandReply>> send(const proto::Command* command, MonotonicTime deadline);
  Task<bool> session_is_lost(std::uint64_t session);
  Task<void> back_off(int attempt, MonotonicTime deadline);
  Task<void> keep_alive();
  void note_map_epoch(std::uint64_t epoch);
  Task<void> follow_map();
  MonotonicTime deadline_from_now() const { return options_.executor.now() + options_.deadline; }

  MetadataClientOptions options_;
  std::uint64_t session_ = 0;
  std::uint64_t generation_ = 0;
  Duration lease_ = std::chrono::seconds(30);
  std::vector<std::uint32_t> slots_;  // free ones
  std::vector<std::uint64_t> sequences_;
  AsyncSemaphore free_slots_;
  AsyncMutex session_mutex_;
  std::shared_ptr<const ClusterMap> map_;
  std::uint64_t map_generation_ = 0;  // of the session that it came in
  std::vector<std::pair<std::weak_ptr<void>, std::function<void()>>> listeners_;
  bool following_ = false;
  bool closing_ = false;
  TimerId timer_;
  Signal wake_;
  TaskScope scope_;
};

Task<Status> Client::connect() {
  CO_RETURN_IF_ERROR(co_await open_session());
  CO_RETURN_IF_ERROR(co_await refresh_cluster_map());
  scope_.spawn(keep_alive());
  co_return OkStatus();
}

Task<Status> Client::open_session() {
  proto::Command command;
  command.mutable_open_session()->set_client_name(options_.client_name);
  command.mutable_open_session()->set_slot_count(options_.slot_count);
  const auto reply = co_await send(&command, deadline_from_now());
  if (!reply.ok()) co_return reply.status();
  CO_RETURN_IF_ERROR(wire::status_from_proto(reply->status()));
  session_ = reply->open_session().session();
  lease_ = milliseconds(std::max<std::uint64_t>(reply->open_session().lease_ms(), 300));
  ++generation_;
  std::fill(sequences_.begin(), sequences_.end(), 0);
  co_return OkStatus();
}

// One of those who found the session lost opens the new one; the others wait for it.
Task<Status> Client::renew_session(std::uint64_t lost_session) {
  const auto guard = co_await session_mutex_.lock();
  if (session_ != lost_session) co_return OkStatus();
  log_warning("client", "the session was closed by metad; opening a new one",
              {{"client", options_.client_name}, {"session", lost_session}});
  co_return co_await open_session();
}

// Sends until an answer comes or the deadline has passed. The same command gives the same outcome
// each time.
Task<Result<proto::CommandReply>> Client::send(const proto::Command* command,
                                               MonotonicTime deadline) {
  for (int attempt = 0;; ++attempt) {
    const MonotonicTime now = options_.executor.now();
    auto reply =
        co_await options_.api.execute(*command, std::min(deadline, now + kAttemptDeadline));
    if (reply.ok() || !is_retryable(reply.status())) co_return reply;
    if (options_.executor.now() >= deadline) {
      co_return DeadlineExceededError("metad gave no answer in time; the last error was: " +
                                      reply.status().to_string());
    }
    co_await back_off(attempt, deadline);
  }
}

Task<void> Client::back_off(int attempt, MonotonicTime deadline) {
  const Duration most =
      std::min<Duration>(kMaxBackoff, kFirstBackoff * (1 << std::min(attempt, 10)));
  const auto jittered =
      Duration(most.count() / 2 + static_cast<Duration::rep>(options_.random.below(
                                      static_cast<std::uint64_t>(most.count() / 2 + 1))));
  co_await sleep_until(std::min(deadline, options_.executor.now() + jittered));
}

Task<bool> Client::session_is_lost(std::uint64_t session) {
  if (session != session_) co_return true;
  proto::Query query;
  query.set_session(session);
  query.mutable_keep_alive();
  const auto reply =
      co_await options_.api.query(std::move(query), options_.executor.now() + kAttemptDeadline);
  co_return reply.ok() && status_code_from_wire(reply->status().code()) == StatusCode::kFenced;
}

Task<Result<proto::CommandReply>> Client::execute(proto::Command command) {
  co_await free_slots_.acquire();
  const std::uint32_t slot = slots_.back();
  slots_.pop_back();
  const MonotonicTime deadline = deadline_from_now();
  Result<proto::CommandReply> outcome = UnavailableError("not sent");
  for (int attempt = 0; attempt < 2; ++attempt) {
    const std::uint64_t session = session_;
    command.set_session(session);
    command.set_slot(slot);
    command.set_sequence(++sequences_[slot]);
    auto reply = co_await send(&command, deadline);
    if (!reply.ok()) {
      outcome = reply.status();
      break;
    }
    note_map_epoch(reply->map_epoch());
    const Status status = wire::status_from_proto(reply->status());
    if (status.ok()) {
      outcome = std::move(reply);
      break;
    }
    outcome = status;
    // A command refused because its session is gone was not run: it may go again under a new one.
    if (status.code() != StatusCode::kFenced || closing_) break;
    const bool lost = co_await session_is_lost(session);
    if (!lost) break;
    const Status renewed = co_await renew_session(session);
    if (!renewed.ok()) break;
  }
  slots_.push_back(slot);
  free_slots_.release();
  co_return outcome;
}

Task<Result<proto::QueryReply>> Client::query(proto::Query query) {
  const MonotonicTime deadline = deadline_from_now();
  bool renewed = false;
  for (int attempt = 0;; ++attempt) {
    const std::uint64_t session = session_;
    query.set_session(session);
    auto reply = co_await options_.api.query(
        query, std::min(deadline, options_.executor.now() + kAttemptDeadline));
    if (reply.ok()) {
      if (!query.has_get_cluster_map()) note_map_epoch(reply->map_epoch());
      const Status status = wire::status_from_proto(reply->status());
      if (status.ok()) co_return reply;
      if (status.code() != StatusCode::kFenced || renewed || closing_) co_return status;
      renewed = true;
      CO_RETURN_IF_ERROR(co_await renew_session(session));
      continue;
    }
    if (!is_retryable(reply.status())) co_return reply.status();
    if (options_.executor.now() >= deadline) {
      co_return DeadlineExceededError("metad gave no answer in time; the last error was: " +
                                      reply.status().to_string());
    }
    co_await back_off(attempt, deadline);
  }
}

Task<Status> Client::refresh_cluster_map() {
  // A new session may be of an older state than the last one: metad was loaded from a dump.
  const std::uint64_t generation = generation_;
  const bool comparable = map_ != nullptr && map_generation_ == generation;
  proto::Query request;
  request.mutable_get_cluster_map()->set_known_epoch(comparable ? map_->epoch : 0);
  auto reply = co_await query(std::move(request));
  if (!reply.ok()) co_return reply.status();
  if (reply->cluster_map().epoch() == 0 && map_ != nullptr) co_return OkStatus();
  auto map = wire::cluster_map_from_proto(reply->cluster_map());
  if (!map.ok()) co_return map.status();
  // Of two answers the older may come last.
  if (map_ != nullptr && map_generation_ == generation && map->epoch <= map_->epoch)
    co_return OkStatus();
  map_generation_ = generation;
  map_ = std::make_shared<const ClusterMap>(std::move(*map));
  std::erase_if(listeners_, [](const auto& listener) { return listener.first.expired(); });
  for (const auto& [owner, listener] : listeners_) listener();
  co_return OkStatus();
}

// Any answer tells how new the map is; a newer one is fetched at once, beside what goes on.
void Client::note_map_epoch(std::uint64_t epoch) {
  if (map_ == nullptr || epoch <= map_->epoch || following_ || closing_) return;
  following_ = true;
  scope_.spawn(follow_map());
}

Task<void> Client::follow_map() {
  const Status refreshed = co_await refresh_cluster_map();
  following_ = false;
  if (!refreshed.ok())
    log_warning("client", "the newer cluster map did not come", {{"status", refreshed}});
}

Task<void> Client::keep_alive() {
  while (!closing_) {
    timer_ =
        options_.executor.schedule_at(options_.executor.now() + std::min(lease_ / 3, kMapInterval),
                                      [this] { wake_.notify_all(); });
    co_await wake_.wait();
    if (closing_) break;
    const Status refreshed = co_await refresh_cluster_map();
    if (!refreshed.ok()) log_warning("client", "metad does not answer", {{"status", refreshed}});
  }
}

Task<Status> Client::close() {
  if (std::exchange(closing_, true)) co_return OkStatus();
  options_.executor.cancel(timer_);
  wake_.notify_all();
  co_await scope_.join();
  if (session_ == 0) co_return OkStatus();
  proto::Command command;
  command.mutable_close_session()->set_session(session_);
  const auto reply =
      co_await options_.api.execute(command, options_.executor.now() + kAttemptDeadline);
  co_return reply.ok() ? wire::status_from_proto(reply->status()) : reply.status();
}

}  // namespace

std::unique_ptr<MetadataClient> make_metadata_client(MetadataClientOptions options) {
  return std::make_unique<Client>(std::move(options));
}

}  // namespace shoal::client
