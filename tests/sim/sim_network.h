// SimNetwork: calls between processes as two messages each, request and reply, either of which may
// be lost, late or there twice, so that messages overtake each other. A call whose answer does not
// come ends with kDeadlineExceeded; when the other side is not there, or dies, often with
// kUnavailable.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/async/sync.h"
#include "proto/metadata_api.h"
#include "proto/storage_api.h"
#include "tests/sim/simulator.h"

namespace shoal::sim {

struct NetworkFaults {
  Duration min_delay = std::chrono::microseconds(50);
  Duration max_delay = std::chrono::milliseconds(3);
  // A message that takes much longer than that.
  std::uint64_t late_per_mille = 0;
  Duration max_lateness = std::chrono::seconds(8);
  std::uint64_t loss_per_mille = 0;
  std::uint64_t duplicate_per_mille = 0;
};

// One process of the cluster through all its lives. What it serves is set once it is up.
struct SimHost {
  std::string name;
  int number = 0;
  SimExecutor* executor = nullptr;  // of this life; dead or null between two
  StorageApi* storage = nullptr;
  MetadataApi* metadata = nullptr;
  std::uint64_t lives = 0;
  // Calls that it has begun to serve in this life: told when it dies.
  std::set<std::pair<std::uint64_t, std::function<void()>*>> serving;
  bool up() const { return executor != nullptr && executor->alive(); }
};

class SimNetwork {
 public:
  explicit SimNetwork(Simulator& simulator) : simulator_(simulator) {}

  NetworkFaults& faults() { return faults_; }
  // Messages from the one to the other are lost from now on; the other way round is another matter.
  void cut(const SimHost& from, const SimHost& to) { cut_.emplace(from.number, to.number); }
  void heal() { cut_.clear(); }
  // Called when a drive begins to drop a pack, or rows of it; with `evicts` because it is
  // elsewhere.
  std::function<void(DriveId drive, PackId pack, const std::vector<std::uint32_t>* rows,
                     bool evicts)>
      on_drop;
  // Called when a host has been killed: its callers learn of it, or do not.
  void host_died(SimHost& host);

  // Calls `call` of `Server` on `to`'s executor; `call` is copied for every time the request
  // arrives. On from's executor.
  template <typename T, typename Server>
  Task<T> call(SimHost* from, SimHost* to, Server* SimHost::*server, MonotonicTime deadline,
               std::function<Task<T>(Server*)> call);

 private:
  template <typename T>
  struct Call {
    std::optional<T> answer;
    std::coroutine_handle<> waiter;
    SimExecutor* home = nullptr;
    void finish(T value) {
      if (answer.has_value()) return;
      answer.emplace(std::move(value));
      if (waiter) home->resume(std::exchange(waiter, nullptr));
    }
  };
  template <typename T>
  struct Waiter {
    Call<T>& call;
    bool await_ready() const noexcept { return call.answer.has_value(); }
    void await_suspend(std::coroutine_handle<> self) const noexcept { call.waiter = self; }
    void await_resume() const noexcept {}
  };
  template <typename T>
  using CallPtr = std::shared_ptr<Call<T>>;

  // When each copy of a message arrives; none if it is lost.
  std::vector<MonotonicTime> arrivals(const SimHost& from, const SimHost& to);
  void at(MonotonicTime when, Callback callback) {
    simulator_.world().schedule_at(when, std::move(callback));
  }
  template <typename T>
  void answer(SimHost* from, SimHost* to, CallPtr<T> state, T value);
  template <typename T, typename Server>
  Task<void> serve(SimHost* from, SimHost* to, CallPtr<T> state, Server* server,
                   std::function<Task<T>(Server*)> call);
  template <typename T>
  void refuse(SimHost* from, SimHost* to, CallPtr<T> state);

  Simulator& simulator_;
  NetworkFaults faults_;
  std::set<std::pair<int, int>> cut_;
  std::uint64_t next_serving_ = 1;
};

template <typename T>
void SimNetwork::answer(SimHost* from, SimHost* to, CallPtr<T> state, T value) {
  for (const MonotonicTime when : arrivals(*from, *to)) {
    at(when, [state, value] { state->home->post([state, value] { state->finish(value); }); });
  }
}

template <typename T>
void SimNetwork::refuse(SimHost* from, SimHost* to, CallPtr<T> state) {
  answer<T>(from, to, std::move(state), UnavailableError(from->name + " is not there"));
}

template <typename T, typename Server>
Task<void> SimNetwork::serve(SimHost* from, SimHost* to, CallPtr<T> state, Server* server,
                             std::function<Task<T>(Server*)> call) {
  std::function<void()> died = [this, from, to, state] { refuse<T>(to, from, state); };
  const auto entry = std::pair(next_serving_++, &died);
  to->serving.insert(entry);
  T value = co_await call(server);
  to->serving.erase(entry);
  answer<T>(to, from, std::move(state), std::move(value));
}

template <typename T, typename Server>
Task<T> SimNetwork::call(SimHost* from, SimHost* to, Server* SimHost::*server,
                         MonotonicTime deadline, std::function<Task<T>(Server*)> call) {
  auto state = std::make_shared<Call<T>>();
  state->home = from->executor;
  TimerId timer;
  if (deadline != MonotonicTime::max()) {
    timer = state->home->schedule_at(deadline, [state, to] {
      state->finish(DeadlineExceededError(to->name + " gave no answer in time"));
    });
  }
  for (const MonotonicTime when : arrivals(*from, *to)) {
    at(when, [this, from, to, server, state, call] {
      if (!to->up() || to->*server == nullptr) {
        if (simulator_.chance(700)) refuse<T>(to, from, state);
        return;
      }
      to->executor->post([this, from, to, server, state, call] {
        spawn(serve<T, Server>(from, to, state, to->*server, call));
      });
    });
  }
  co_await Waiter<T>{*state};
  state->home->cancel(timer);
  co_return std::move(*state->answer);
}

// The cluster's APIs as one process sees them through the network.
class SimStorageLink : public StorageApi {
 public:
  SimStorageLink(SimNetwork& network, SimHost& from, SimHost& to)
      : network_(network), from_(from), to_(to) {}

  Task<Status> write_fragment(WriteFragmentRequest request, MonotonicTime deadline) override;
  Task<Result<Buffer>> read_fragment(ReadFragmentRequest request, MonotonicTime deadline) override;
  Task<Result<RowShape>> row_shape(DriveId drive, PackId pack, std::uint32_t row,
                                   MonotonicTime deadline) override;
  Task<Result<std::vector<RowObject>>> row_directory(DriveId drive, FragmentKey key,
                                                     MonotonicTime deadline) override;
  Task<Status> seal_pack(DriveId drive, PackId pack, std::uint64_t epoch,
                         MonotonicTime deadline) override;
  Task<Status> delete_pack(DriveId drive, PackId pack, MonotonicTime deadline) override;
  Task<Status> evict_pack(DriveId drive, PackId pack, MonotonicTime deadline) override;
  Task<Status> delete_rows(DriveId drive, PackId pack, std::vector<std::uint32_t> rows,
                           MonotonicTime deadline) override;
  Task<Result<std::vector<PackInfo>>> list_packs(DriveId drive, PackId after, std::uint32_t limit,
                                                 MonotonicTime deadline) override;
  Task<Result<std::vector<FragmentInfo>>> list_fragments(DriveId drive, PackId pack,
                                                         std::uint32_t first_row,
                                                         std::uint32_t limit, FragmentDetail detail,
                                                         MonotonicTime deadline) override;
  Task<Result<std::vector<DamagedFragment>>> damaged_fragments(DriveId drive, FragmentKey after,
                                                               std::uint32_t limit,
                                                               MonotonicTime deadline) override;
  Task<Status> scrub(DriveId drive, ScrubAction action, std::uint64_t bytes_per_second,
                     MonotonicTime deadline) override;
  Task<Result<std::vector<DriveStatus>>> status(MonotonicTime deadline) override;

 private:
  template <typename T, typename Fn>
  Task<T> send(MonotonicTime deadline, Fn call) {
    std::function<Task<T>(StorageApi*)> copyable = std::move(call);
    return network_.call<T, StorageApi>(&from_, &to_, &SimHost::storage, deadline,
                                        std::move(copyable));
  }
  SimNetwork& network_;
  SimHost& from_;
  SimHost& to_;
};

class SimMetadataLink final : public MetadataApi {
 public:
  SimMetadataLink(SimNetwork& network, SimHost& from, SimHost& to)
      : network_(network), from_(from), to_(to) {}
  Task<Result<proto::CommandReply>> execute(proto::Command command,
                                            MonotonicTime deadline) override;
  Task<Result<proto::QueryReply>> query(proto::Query query, MonotonicTime deadline) override;

 private:
  SimNetwork& network_;
  SimHost& from_;
  SimHost& to_;
};

}  // namespace shoal::sim
