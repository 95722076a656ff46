// The metadata daemon under crashes: names that are made, linked, renamed and removed on several
// slots side by side, while checkpoints are taken. After a crash every slot's last command comes
// again, as from a client that got no answer.
#include <map>
#include <optional>

#include "metad/service/metadata_server.h"
#include "tests/crash/scenarios.h"
#include "tests/sim/sim_checkpoint.h"

namespace shoal::crash {
namespace {

using metad::MetadataOptions;
using metad::MetadataServer;

constexpr std::uint32_t kSlots = 4;

class MetadataScenario final : public Scenario {
 public:
  MetadataScenario(std::uint64_t seed, MetadataScenarioOptions options)
      : Scenario(seed), options_(options), script_(seed * 31 + 7) {
    disk.faults().lies_about_flushes = options.lies_about_flushes;
  }

  Task<Status> open() override;
  Task<void> work() override;
  Task<void> check() override;
  Task<void> close() override;
  void abandon() override {
    (void)server_.release();
    (void)directory_.release();
    (void)pool_.release();
  }

 private:
  struct Slot {
    std::uint64_t sequence = 0;
    std::optional<proto::Command> under_way;  // no answer yet
    std::optional<proto::Command> last;       // and its answer
    proto::CommandReply reply;
  };
  Task<void> open_session();
  Task<void> send(std::uint32_t slot);
  Task<void> send_again();
  void choose(std::uint32_t slot);
  void apply(const proto::Command& command, const proto::CommandReply& reply);
  std::optional<std::string> free_name();
  Task<void> check_name(std::string name, std::uint64_t inode);

  const MetadataScenarioOptions options_;
  SeededRandom script_;
  sim::CheckpointRecords checkpoint_;
  std::unique_ptr<sim::SimPool> pool_;
  std::unique_ptr<BlockDirectory> directory_;
  std::unique_ptr<MetadataServer> server_;
  std::uint64_t session_ = 0;
  Slot slots_[kSlots];
  std::map<std::string, std::uint64_t> names_;  // acknowledged: name to inode; 0: removed
  std::uint64_t next_name_ = 0;
};

Task<Status> MetadataScenario::open() {
  auto directory = disk.open(*executor);
  if (!directory.ok()) co_return directory.status();
  directory_ = std::move(*directory);
  pool_ = std::make_unique<sim::SimPool>(simulator, *executor, [this] { disk.count_moment(); });
  MetadataOptions options;
  options.open_checkpoint = checkpoint_.opener();
  options.session_lease = std::chrono::hours(100);
  options.journal_segment_bytes = options_.journal_segment_bytes;
  options.checkpoint_after_bytes = options_.checkpoint_after_bytes;
  auto opened = co_await MetadataServer::open(*directory_, *pool_, std::move(options));
  if (!opened.ok()) co_return opened.status();
  server_ = std::move(*opened);
  if (session_ == 0) {
    co_await open_session();
  } else {
    co_await send_again();
  }
  co_return OkStatus();
}

Task<void> MetadataScenario::close() {
  const Status closed = co_await server_->close();
  if (!closed.ok()) fail("closing: " + closed.to_string());
  server_.reset();
}

Task<void> MetadataScenario::open_session() {
  proto::Command command;
  command.mutable_open_session()->set_client_name("crash");
  command.mutable_open_session()->set_slot_count(kSlots);
  const auto reply = co_await server_->execute(std::move(command), MonotonicTime::max());
  if (reply.ok() && reply->status().code() == 0) {
    session_ = reply->open_session().session();
  } else {
    fail("no session");
  }
}

// What was answered gives the same answer again; what was not is answered now.
Task<void> MetadataScenario::send_again() {
  for (Slot& slot : slots_) {
    if (slot.under_way) {
      co_await send(static_cast<std::uint32_t>(&slot - slots_));
    } else if (slot.last) {
      const auto reply = co_await server_->execute(*slot.last, MonotonicTime::max());
      if (!reply.ok() || reply->SerializeAsString() != slot.reply.SerializeAsString())
        fail("a command that came again got another answer: " +
             (reply.ok() ? reply->ShortDebugString() : reply.status().to_string()) +
             " instead of " + slot.reply.ShortDebugString());
    }
  }
}

Task<void> MetadataScenario::send(std::uint32_t number) {
  const proto::Command command = *slots_[number].under_way;
  // Sometimes it comes twice: both get the one outcome.
  std::vector<Task<Result<proto::CommandReply>>> tries;
  tries.push_back(server_->execute(command, MonotonicTime::max()));
  if (simulator.random().below(4) == 0)
    tries.push_back(server_->execute(command, MonotonicTime::max()));
  const auto replies = co_await when_all(std::move(tries));
  for (const auto& reply : replies) {
    if (!reply.ok()) {
      fail("no answer: " + reply.status().to_string());
      co_return;
    }
    if (reply->status().code() != 0) {
      fail("refused: " + reply->status().message() + ", " + command.ShortDebugString());
      co_return;
    }
    if (reply->SerializeAsString() != replies[0]->SerializeAsString())
      fail("a command that came twice got two answers");
  }
  Slot& slot = slots_[number];
  slot.last = std::exchange(slot.under_way, std::nullopt);
  slot.reply = *replies[0];
  apply(command, *replies[0]);
}

void MetadataScenario::apply(const proto::Command& command, const proto::CommandReply& reply) {
  const std::uint64_t inode = reply.file().attributes().inode();
  if (command.has_create_file()) names_[command.create_file().name()] = inode;
  if (command.has_link_file()) names_[command.link_file().name()] = command.link_file().inode();
  if (command.has_unlink_file()) names_[command.unlink_file().name()] = 0;
  if (command.has_rename_file()) {
    std::uint64_t& from = names_[command.rename_file().source_name()];
    names_[command.rename_file().target_name()] = std::exchange(from, 0);
  }
}

// An existing name that no command under way is about.
std::optional<std::string> MetadataScenario::free_name() {
  std::vector<std::string> able;
  for (const auto& [name, inode] : names_) {
    bool busy = inode == 0;
    for (const Slot& slot : slots_) {
      if (!slot.under_way) continue;
      busy = busy || slot.under_way->unlink_file().name() == name ||
             slot.under_way->rename_file().source_name() == name ||
             slot.under_way->link_file().inode() == inode;
    }
    if (!busy) able.push_back(name);
  }
  if (able.empty()) return std::nullopt;
  return able[script_.below(able.size())];
}

void MetadataScenario::choose(std::uint32_t number) {
  Slot& slot = slots_[number];
  proto::Command command;
  command.set_session(session_);
  command.set_slot(number);
  command.set_sequence(++slot.sequence);
  const std::optional<std::string> name = free_name();
  const std::string fresh =
      "n" + std::to_string(next_name_++) + std::string(script_.below(200), 'x');
  const std::uint64_t what = script_.below(6);
  if (!name || what < 3) {
    command.mutable_create_file()->set_parent(kRootInode.value());
    command.mutable_create_file()->set_name(fresh);
    command.mutable_create_file()->set_type(proto::REGULAR);
    command.mutable_create_file()->set_exclusive(true);
  } else if (what == 3) {
    command.mutable_unlink_file()->set_parent(kRootInode.value());
    command.mutable_unlink_file()->set_name(*name);
  } else if (what == 4) {
    command.mutable_link_file()->set_inode(names_[*name]);
    command.mutable_link_file()->set_parent(kRootInode.value());
    command.mutable_link_file()->set_name(fresh);
  } else {
    command.mutable_rename_file()->set_source_parent(kRootInode.value());
    command.mutable_rename_file()->set_source_name(*name);
    command.mutable_rename_file()->set_target_parent(kRootInode.value());
    command.mutable_rename_file()->set_target_name(fresh);
  }
  slot.under_way = std::move(command);
}

Task<void> MetadataScenario::work() {
  for (int step = 0; step < options_.steps && failure.empty(); ++step) {
    std::vector<std::uint32_t> chosen;
    for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
      if (script_.below(2) == 0) continue;
      choose(slot);
      chosen.push_back(slot);
    }
    std::vector<Task<int>> tasks;
    struct Sender {
      static Task<int> send(MetadataScenario* scenario, std::uint32_t slot) {
        co_await scenario->send(slot);
        co_return 0;
      }
    };
    for (const std::uint32_t slot : chosen) tasks.push_back(Sender::send(this, slot));
    (void)co_await when_all(std::move(tasks));
    if (script_.below(10) == 0) {
      const Status taken = co_await server_->checkpoint();
      if (!taken.ok()) fail("checkpoint: " + taken.to_string());
    }
  }
}

Task<void> MetadataScenario::check_name(std::string name, std::uint64_t inode) {
  proto::Query query;
  query.mutable_lookup()->set_parent(kRootInode.value());
  query.mutable_lookup()->set_name(name);
  const auto reply = co_await server_->query(std::move(query), MonotonicTime::max());
  if (!reply.ok()) {
    fail("looking up: " + reply.status().to_string());
  } else if (inode == 0) {
    if (reply->status().code() == 0) fail("'" + name + "' was removed and is back");
  } else if (reply->status().code() != 0) {
    fail("'" + name + "' was made and is gone: " + reply->status().message());
  } else if (reply->entry().attributes().inode() != inode) {
    fail("'" + name + "' is another file");
  }
}

Task<void> MetadataScenario::check() {
  const auto names = names_;
  for (const auto& [name, inode] : names) co_await check_name(name, inode);
  std::map<std::uint64_t, std::uint32_t> links;
  for (const auto& [name, inode] : names) {
    if (inode != 0) ++links[inode];
  }
  for (const auto& [inode, count] : links) {
    proto::Query query;
    query.mutable_get_attributes()->set_inode(inode);
    const auto reply = co_await server_->query(std::move(query), MonotonicTime::max());
    if (!reply.ok() || reply->entry().attributes().link_count() != count)
      fail("inode " + std::to_string(inode) + " has another link count than " +
           std::to_string(count));
  }
}

}  // namespace

std::unique_ptr<Scenario> make_metadata_scenario(std::uint64_t seed,
                                                 MetadataScenarioOptions options) {
  return std::make_unique<MetadataScenario>(seed, options);
}

}  // namespace shoal::crash
