// Deliberate faults at the seams of the program, for canary runs (README.md): whoever cannot find
// them would not find a real one of their kind.
#pragma once

#include "tests/sim/sim_network.h"

namespace shoal::sim {

// Acknowledges one fragment in thirty-two without sending it.
class FragmentDropper final : public SimStorageLink {
 public:
  FragmentDropper(SimNetwork& network, SimHost& from, SimHost& to, std::uint64_t& counter)
      : SimStorageLink(network, from, to), counter_(counter) {}

  Task<Status> write_fragment(WriteFragmentRequest request, MonotonicTime deadline) override {
    if (++counter_ % 32 == 0) co_return OkStatus();
    co_return co_await SimStorageLink::write_fragment(std::move(request), deadline);
  }

 private:
  std::uint64_t& counter_;
};

// Gives every command a sequence of its own, so that metad cannot know it again.
class ForgetfulMetadata final : public MetadataApi {
 public:
  ForgetfulMetadata(MetadataApi& target, std::uint64_t& counter)
      : target_(target), counter_(counter) {}

  Task<Result<proto::CommandReply>> execute(proto::Command command,
                                            MonotonicTime deadline) override {
    if (command.session() != 0) command.set_sequence(++counter_);
    return target_.execute(std::move(command), deadline);
  }
  Task<Result<proto::QueryReply>> query(proto::Query query, MonotonicTime deadline) override {
    return target_.query(std::move(query), deadline);
  }

 private:
  MetadataApi& target_;
  std::uint64_t& counter_;
};

}  // namespace shoal::sim
