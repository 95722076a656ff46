// The state machine over State: dispatch of commands, the replies kept for retries, and the records
// of checkpoints.
#include <algorithm>

#include "base/check.h"
#include "metad/ops/ops.h"
#include "metad/state/loader.h"
#include "metad/state/records.h"
#include "metad/state/state.h"

namespace shoal::metad {
namespace {

class Machine final : public StateMachine {
 public:
  void stamp(proto::Command* command) const override;
  Status refusal(const proto::Command& command) const override;
  std::vector<InodeId> orphans() const override;
  proto::CommandReply apply(const proto::Command& command, std::uint64_t position) override;
  const proto::CommandReply* find_reply(const proto::Command& command) const override;
  void query(const proto::Query& query, proto::QueryReply* reply) override;
  std::uint64_t applied_position() const override { return applied_; }
  bool drain_changes(std::size_t budget, const ChangeSink& sink) override;
  void note_again(std::string_view key) override { state_.changes.note(key); }
  std::size_t noted() const override { return state_.changes.size(); }
  void begin_load() override { loader_ = std::make_unique<StateLoader>(&state_); }
  Status load_record(std::string_view key, std::string_view value) override;
  Status finish_load(std::uint64_t applied_position) override;
  Status become_restored() override {
    RETURN_IF_ERROR(restore_state(state_));
    state_.settle();
    return OkStatus();
  }
  bool keeps_unknown(PackId pack) const override;
  void fill_kept_unknown(proto::CheckMetadataReply* reply) const override;
  const ClusterMap& cluster_map() const override { return state_.cluster_map; }
  std::vector<SessionId> sessions() const override;
  void fill_status(proto::MetadataStatus* status) const override;

 private:
  Status run(const proto::Command& command, const Context& context, proto::CommandReply* reply);
  Status run_file(const proto::Command& command, const Context& context,
                  proto::CommandReply* reply);
  Status run_object(const proto::Command& command, const Context& context,
                    proto::CommandReply* reply);
  void keep_reply(const proto::Command& command, const proto::CommandReply& reply);

  // find(), resolve() and the like are not const; they change nothing.
  mutable State state_;
  std::uint64_t applied_ = 0;
  mutable proto::CommandReply found_reply_;
  std::unique_ptr<StateLoader> loader_;  // until finish_load
};

void Machine::stamp(proto::Command* command) const {
  command->clear_holders();
  command->clear_plan();
  if (command->has_change_cluster())
    plan_change(state_, command->change_cluster(), command->mutable_plan());
  for (const std::uint64_t inode : command->reap_orphans().inodes()) {
    const auto open = state_.open_files.find(inode);
    if (open == state_.open_files.end() || open->second.empty()) continue;
    proto::Holder* holder = command->add_holders();
    holder->set_inode(inode);
    for (const auto& [session, count] : open->second) holder->add_sessions(session);
    std::sort(holder->mutable_sessions()->begin(), holder->mutable_sessions()->end());
  }
}

Status Machine::refusal(const proto::Command& command) const {
  if (!command.has_lease_packs() || !state_.sessions.contains(command.session())) return OkStatus();
  return check_lease_packs(state_, command.lease_packs());
}

std::vector<InodeId> Machine::orphans() const {
  std::vector<InodeId> ids;
  for (const std::uint64_t id : state_.unreaped) ids.emplace_back(id);
  std::sort(ids.begin(), ids.end());  // the order of a hash set is not the same everywhere
  return ids;
}

proto::CommandReply Machine::apply(const proto::Command& command, std::uint64_t position) {
  CHECK(position > applied_);
  applied_ = position;
  Context context;
  context.session = command.session();
  context.time_ns = command.time_ns();
  context.position = position;
  context.command = &command;
  state_.globals.last_time_ns = std::max(state_.globals.last_time_ns, command.time_ns());
  proto::CommandReply reply;
  const bool known = command.session() == 0 || state_.sessions.contains(command.session());
  const Status status =
      known ? run(command, context, &reply)
            : FencedError("session " + std::to_string(command.session()) + " is not open");
  if (!status.ok()) reply.clear_op();
  wire::status_to_proto(status, reply.mutable_status());
  if (known && command.session() != 0) keep_reply(command, reply);
  state_.settle();
  return reply;
}

void Machine::keep_reply(const proto::Command& command, const proto::CommandReply& reply) {
  const auto session = state_.sessions.find(command.session());
  if (session == state_.sessions.end() || command.slot() >= session->second.slots.size()) return;
  Session::Slot& slot = session->second.slots[command.slot()];
  slot.sequence = command.sequence();
  slot.reply = reply.SerializeAsString();
  state_.note_session(command.session());
}

const proto::CommandReply* Machine::find_reply(const proto::Command& command) const {
  if (command.session() == 0) return nullptr;
  const auto refuse = [&](const Status& status) {
    found_reply_.Clear();
    wire::status_to_proto(status, found_reply_.mutable_status());
    return &found_reply_;
  };
  const auto session = state_.sessions.find(command.session());
  if (session == state_.sessions.end()) {
    return refuse(FencedError("session " + std::to_string(command.session()) + " is not open"));
  }
  if (command.slot() >= session->second.slots.size()) {
    return refuse(
        InvalidArgumentError("slot " + std::to_string(command.slot()) + " is out of range"));
  }
  const Session::Slot& slot = session->second.slots[command.slot()];
  if (command.sequence() > slot.sequence) return nullptr;
  if (command.sequence() < slot.sequence)
    return refuse(AbortedError("an older sequence of the slot came again"));
  found_reply_.Clear();
  if (!found_reply_.ParseFromString(slot.reply))
    return refuse(CorruptionError("the kept reply does not parse"));
  return &found_reply_;
}

Status Machine::run(const proto::Command& command, const Context& context,
                    proto::CommandReply* reply) {
  switch (command.op_case()) {
    case proto::Command::kOpenSession: return open_session(state_, command.open_session(), reply);
    case proto::Command::kCloseSession:
      return close_session(state_, command.close_session(), context);
    case proto::Command::kLeasePacks:
      return lease_packs(state_, command.lease_packs(), context, reply);
    case proto::Command::kClosePack: return close_packs(state_, command.close_pack(), context);
    case proto::Command::kPackDeleted: return pack_deleted(state_, command.pack_deleted());
    case proto::Command::kRowsDeleted: return rows_deleted(state_, command.rows_deleted());
    case proto::Command::kSetClusterMap: return set_cluster_map(state_, command.set_cluster_map());
    case proto::Command::kChangeCluster:
      return change_cluster(state_, command.change_cluster(), command.plan(),
                            reply->mutable_cluster());
    case proto::Command::kReapOrphans: return reap_orphans(state_, command.reap_orphans(), context);
    default: return run_file(command, context, reply);
  }
}

Status Machine::run_file(const proto::Command& command, const Context& context,
                         proto::CommandReply* reply) {
  switch (command.op_case()) {
    case proto::Command::kCreateFile:
      return create_file(state_, command.create_file(), context, reply);
    case proto::Command::kLinkFile: return link_file(state_, command.link_file(), context, reply);
    case proto::Command::kUnlinkFile:
      return unlink_file(state_, command.unlink_file(), context, reply);
    case proto::Command::kRemoveDirectory:
      return remove_directory(state_, command.remove_directory(), context);
    case proto::Command::kRenameFile:
      return rename_file(state_, command.rename_file(), context, reply);
    case proto::Command::kSetAttributes:
      return set_attributes(state_, command.set_attributes(), context, reply);
    case proto::Command::kCommitData:
      return commit_data(state_, command.commit_data(), context, reply);
    case proto::Command::kSetXattr: return set_xattr(state_, command.set_xattr(), context);
    case proto::Command::kRemoveXattr: return remove_xattr(state_, command.remove_xattr(), context);
    case proto::Command::kReleaseOrphan:
      return release_orphan(state_, command.release_orphan(), context);
    case proto::Command::kCloneRange:
      return clone_range(state_, command.clone_range(), context, reply);
    case proto::Command::kSwapExtents: return swap_extents(state_, command.swap_extents(), context);
    case proto::Command::kSwapReferences:
      return swap_references(state_, command.swap_references(), context, reply);
    default: return run_object(command, context, reply);
  }
}

Status Machine::run_object(const proto::Command& command, const Context& context,
                           proto::CommandReply* reply) {
  switch (command.op_case()) {
    case proto::Command::kCreateBucket:
      return create_bucket(state_, command.create_bucket(), context);
    case proto::Command::kDeleteBucket:
      return delete_bucket(state_, command.delete_bucket(), context);
    case proto::Command::kSetBucketConfig:
      return set_bucket_config(state_, command.set_bucket_config());
    case proto::Command::kPutObject:
      return put_object(state_, command.put_object(), context, reply);
    case proto::Command::kDeleteObjects:
      return delete_objects(state_, command.delete_objects(), context, reply);
    case proto::Command::kCopyObject:
      return copy_object(state_, command.copy_object(), context, reply);
    case proto::Command::kCreateUpload:
      return create_upload(state_, command.create_upload(), context, reply);
    case proto::Command::kPutPart: return put_part(state_, command.put_part(), context, reply);
    case proto::Command::kCopyPart: return copy_part(state_, command.copy_part(), context, reply);
    case proto::Command::kCompleteUpload:
      return complete_upload(state_, command.complete_upload(), context, reply);
    case proto::Command::kAbortUpload: return abort_upload(state_, command.abort_upload());
    default:
      return NotSupportedError("command " + std::to_string(command.op_case()) +
                               " is not known here");
  }
}

void Machine::query(const proto::Query& query, proto::QueryReply* reply) {
  if (query.op_case() == proto::Query::kGetStatus) {
    fill_status(reply->mutable_metadata_status());
    reply->mutable_status();
    return;
  }
  answer_query(state_, query, reply);
  state_.settle();
}

std::vector<SessionId> Machine::sessions() const {
  std::vector<SessionId> ids;
  for (const auto& [id, session] : state_.sessions) ids.emplace_back(id);
  return ids;
}

void Machine::fill_status(proto::MetadataStatus* status) const {
  status->set_inode_count(state_.inode_count());
  status->set_directory_count(state_.directories.size());
  status->set_pack_count(state_.packs.size());
  std::uint64_t live = 0;
  for (const auto& [id, pack] : state_.packs) live += pack.live_bytes;
  status->set_live_bytes(live);
  status->set_index_bytes(state_.index_bytes());
  for (const auto& [id, session] : state_.sessions) {
    proto::SessionInfo* info = status->add_sessions();
    info->set_session(id);
    info->set_client_name(session.client_name);
    for (const auto& [pack_id, pack] : state_.packs) {
      if (pack.session == id && pack.state == proto::PACK_OPEN)
        info->set_open_packs(info->open_packs() + 1);
    }
    for (const auto& [inode, holders] : state_.open_files) {
      if (holders.contains(id)) info->set_open_files(info->open_files() + 1);
    }
  }
}

bool Machine::keeps_unknown(PackId pack) const {
  const std::uint64_t sequence = sequence_of_pack(pack);
  const auto& kept = state_.globals.kept_unknown;
  return std::any_of(kept.begin(), kept.end(), [sequence](const State::SequenceRange& range) {
    return sequence >= range.first && sequence < range.end;
  });
}

void Machine::fill_kept_unknown(proto::CheckMetadataReply* reply) const {
  for (const State::SequenceRange& range : state_.globals.kept_unknown) {
    proto::SequenceRange* kept = reply->add_kept_unknown();
    kept->set_first(range.first);
    kept->set_end(range.end);
  }
}

bool Machine::drain_changes(std::size_t budget, const ChangeSink& sink) {
  std::string key;
  while (budget-- > 0 && state_.changes.take(&key)) {
    const auto value = make_record(state_, key);
    sink(key, value ? &*value : nullptr);
  }
  return !state_.changes.empty();
}

Status Machine::load_record(std::string_view key, std::string_view value) {
  return loader_->load(key, value);
}

Status Machine::finish_load(std::uint64_t applied_position) {
  RETURN_IF_ERROR(loader_->finish());
  loader_.reset();
  applied_ = applied_position;
  return OkStatus();
}

}  // namespace

std::unique_ptr<StateMachine> make_state_machine() { return std::make_unique<Machine>(); }

}  // namespace shoal::metad
