// StateMachine: the whole metadata of one volume group in memory, changed by commands alone.
// Deterministic: the same commands in the same order give the same state and the same replies; time
// and all else that is not in the state comes stamped in the command. It never fails half-way: a
// command either takes effect whole or its reply says why not. Belongs to one executor; does no
// I/O.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/cluster_map.h"
#include "base/ids.h"
#include "base/result.h"
#include "proto/metadata.pb.h"

namespace shoal::metad {

// Of the records that drain_changes gives and load_record takes (docs/on-disk-format.md).
inline constexpr std::uint32_t kRecordFormatVersion = 2;

class StateMachine {
 public:
  virtual ~StateMachine() = default;

  // Adds to a command, before it is journaled, what it depends on and a replay could not know: to
  // ReapOrphans who holds its inodes open now (Command.holders), which is not part of the state; to
  // ChangeCluster what this version plans for it (Command.plan).
  virtual void stamp(proto::Command* command) const = 0;
  // The error that apply() would give a command now, of those that are worth asking because clients
  // repeat them for as long as an outage lasts: it changes nothing, so it needs no place in the
  // journal. OK: apply() says.
  virtual Status refusal(const proto::Command& command) const = 0;
  // Inodes without a name that wait to be reaped. They stay for a while, so that an open that was
  // on its way when the name went still finds its file.
  virtual std::vector<InodeId> orphans() const = 0;
  // Applies the command that the journal holds at `position` (1, 2, 3, ...).
  virtual proto::CommandReply apply(const proto::Command& command, std::uint64_t position) = 0;
  // The reply of a command that was applied before and came again; null if (session, slot,
  // sequence) is new. An older sequence than the slot's last gives kAborted, an unknown session
  // kFenced.
  virtual const proto::CommandReply* find_reply(const proto::Command& command) const = 0;
  // Fills `reply` from the state. Does not change it, except OpenFile and CloseFile, which keep
  // volatile counts.
  virtual void query(const proto::Query& query, proto::QueryReply* reply) = 0;

  // The position of the last applied command.
  virtual std::uint64_t applied_position() const = 0;

  // Checkpoints. The state is a set of records (key, value); apply() notes which keys changed.
  // drain_changes gives keys that changed since they were last given, `budget` of them at most,
  // each with its present value, or none when it is gone, and forgets them; it returns false when
  // none is left. Commands may be applied between two calls: what was given and changes again is
  // noted again. So once a call has returned false, the last value given of each key, over what was
  // given before, is the whole state at the position applied by then.
  using ChangeSink = std::function<void(std::string_view key, const std::string* value)>;
  virtual bool drain_changes(std::size_t budget, const ChangeSink& sink) = 0;
  // Notes a key again that drain_changes gave, because it was not kept.
  virtual void note_again(std::string_view key) = 0;
  // How many notes were made and not given yet; an entry of a directory may count twice.
  virtual std::size_t noted() const = 0;

  // Start-up: begin_load empties the state; then comes every record of the checkpoint, from any
  // number of threads: first letter by first letter in their order, and those whose first nine
  // bytes are the same from one thread. finish_load checks that they fit together. Errors:
  // kCorruption naming the record.
  virtual void begin_load() = 0;
  virtual Status load_record(std::string_view key, std::string_view value) = 0;
  virtual Status finish_load(std::uint64_t applied_position) = 0;

  // After the load of a dump, which may be older than what the drives hold: ends its sessions, and
  // lets nothing be dropped or used again that it could not know of. Packs that were open then, and
  // packs leased since, are kept on the drives (keeps_unknown); ids of inodes, packs and sessions
  // go on far beyond those that can have been given since. Errors: kOutOfRange when there are no
  // ids left for that.
  virtual Status become_restored() = 0;
  // Whether a pack that the state does not know may hold what is newer than a dump that was loaded:
  // it is not to be deleted.
  virtual bool keeps_unknown(PackId pack) const = 0;
  virtual void fill_kept_unknown(proto::CheckMetadataReply* reply) const = 0;

  virtual const ClusterMap& cluster_map() const = 0;
  // Sessions that own anything, for the lease timer of the leader.
  virtual std::vector<SessionId> sessions() const = 0;
  // Counts that GetStatus reports (inodes, directories, packs, bytes, memory), filled from the
  // state.
  virtual void fill_status(proto::MetadataStatus* status) const = 0;
};

// A new, empty state: the root directory and nothing else. `drain_changes` of it gives the root's
// records.
std::unique_ptr<StateMachine> make_state_machine();

}  // namespace shoal::metad
