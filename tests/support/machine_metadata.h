// MachineMetadata: the real metadata state machine behind MetadataApi, in memory and without a
// journal: what is applied counts as durable. Sessions never expire. Belongs to one executor.
#pragma once

#include <functional>
#include <memory>

#include "base/async/executor.h"
#include "metad/state/state_machine.h"
#include "proto/metadata_api.h"
#include "proto/wire/convert.h"

namespace shoal::test {

class MachineMetadata final : public MetadataApi {
 public:
  explicit MachineMetadata(const ClusterMap& map) {
    proto::Command command;
    *command.mutable_set_cluster_map()->mutable_map() = wire::cluster_map_to_proto(map);
    CHECK(apply(std::move(command)).status().code() == 0);
  }

  Task<Result<proto::CommandReply>> execute(proto::Command command, MonotonicTime) override {
    co_await yield();  // as a journal would let others go first
    if (before) before(command);
    if (const proto::CommandReply* known = machine_->find_reply(command)) co_return *known;
    co_return apply(std::move(command));
  }
  Task<Result<proto::QueryReply>> query(proto::Query query, MonotonicTime) override {
    co_await yield();
    proto::QueryReply reply;
    machine_->query(query, &reply);
    co_return reply;
  }

  proto::CommandReply apply(proto::Command command) {
    time_ns_ += 1'000'000;
    command.set_time_ns(time_ns_);
    machine_->stamp(&command);
    proto::CommandReply reply = machine_->apply(command, ++position_);
    if (reply.has_open_session()) reply.mutable_open_session()->set_lease_ms(30'000);
    return reply;
  }
  proto::QueryReply ask(const proto::Query& query) {
    proto::QueryReply reply;
    machine_->query(query, &reply);
    return reply;
  }
  metad::StateMachine& machine() { return *machine_; }

  std::function<void(const proto::Command&)> before;  // each command that a client sends

 private:
  std::unique_ptr<metad::StateMachine> machine_ = metad::make_state_machine();
  std::uint64_t position_ = 0;
  std::int64_t time_ns_ = 1'700'000'000'000'000'000;
};

}  // namespace shoal::test
