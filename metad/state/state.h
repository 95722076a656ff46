// State: the tables of the metadata and the small steps that operations are made of. Every change
// notes the record it touches for the next checkpoint. Operations (metad/ops) check first and
// change afterwards, so that one that fails leaves nothing behind.
//
// Files are kept as records (inode_table.h). find() unpacks one for the command or query that runs;
// what was touched is packed again by settle(), which ends each of them.
#pragma once

#include <absl/container/btree_map.h>
#include <absl/container/btree_set.h>
#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/extent_list.h"
#include "base/posix_name.h"
#include "metad/state/change_notes.h"
#include "metad/state/inode.h"
#include "metad/state/inode_table.h"
#include "metad/state/record_key.h"
#include "metad/state/state_machine.h"
#include "proto/wire/convert.h"

namespace shoal::metad {

using wire::extents_from_proto;
using wire::extents_to_proto;

// Who does it, when, and in which journal position.
struct Context {
  std::uint64_t session = 0;
  std::int64_t time_ns = 0;
  std::uint64_t position = 0;
  const proto::Command* command = nullptr;
};

struct Session {
  struct Slot {
    std::uint64_t sequence = 0;
    std::string reply;
  };
  std::string client_name;
  std::vector<Slot> slots;
};

struct PackEntry {
  proto::PackState state = proto::PACK_OPEN;
  std::uint64_t epoch = 0;
  std::uint64_t session = 0;
  std::uint64_t committed_bytes = 0;
  std::uint64_t live_bytes = 0;
  std::vector<std::uint64_t> rows;  // live bytes by row
  // It was open when a dump was made that was loaded since: it may hold rows that nobody knows
  // here, so nothing of it is ever dropped.
  bool kept = false;
};

struct UploadPart {
  proto::PartReply info;
  ExtentList extents;
};

struct Upload {
  std::uint64_t bucket = 0;
  std::string key;
  std::int64_t initiated_ns = 0;
  proto::ObjectMeta object;
  proto::Identity owner;
  std::map<std::uint32_t, UploadPart> parts;
};

// A name in a directory.
struct Entry {
  Inode* parent = nullptr;
  std::string key;         // raw name and type byte
  Inode* inode = nullptr;  // null: there is none
};

class State {
 public:
  State();

  // --- inodes
  // Valid until settle(), a directory until it is removed; null when there is none. A change counts
  // only with touch().
  Inode* find(std::uint64_t id);
  // For reading many: valid until the next peek() only.
  const Inode* peek(std::uint64_t id);
  // Visits inodes of one shard with an id of at least `from`, ascending, at most `limit` of them,
  // until `visit` returns false. Returns the id of the first one not visited; 0: there is none, or
  // `visit` ended it. What is visited is valid for that long.
  std::uint64_t for_each_inode(std::size_t shard, std::uint64_t from, std::size_t limit,
                               const std::function<bool(const Inode&)>& visit) const;
  // Errors: kStaleHandle, kNotDirectory.
  Result<Inode*> need(std::uint64_t id);
  Result<Inode*> need_directory(std::uint64_t id);
  Inode& create_inode(proto::FileType type, std::uint32_t mode, const proto::Identity& owner,
                      const Context& context);
  // The inode has lost a name. A directory with none left goes; a file waits to be reaped, because
  // somebody may have it open. Returns whether it lives on as an orphan.
  bool drop_link(Inode& inode, const Context& context);
  void remove_inode(Inode& inode);
  void touch(Inode& inode);  // notes the record
  // The end of a command or query: what it touched goes into the table.
  void settle();
  proto::Attributes attributes_of(const Inode& inode) const;
  std::uint64_t inode_count() const { return files.size() + directories.size(); }
  // Memory of everything here. Costs a look at each pack and session.
  std::uint64_t index_bytes() const;
  // After directories were filled without add_entry.
  void recount_directories();

  // --- names
  static std::string entry_key(std::string_view raw, bool directory) {
    std::string key(raw);
    key.push_back(directory ? kDirectoryByte : kFileByte);
    return key;
  }
  Inode* child(const Inode& directory, const std::string& key);
  void add_entry(Inode& directory, const std::string& key, Inode& inode);
  void remove_entry(Inode& directory, const std::string& key);
  // What a POSIX name stands for in a directory. `inode` is null when there is nothing; key then is
  // what a new entry would be called, a file's. Errors: of from_posix_name.
  Result<Entry> resolve(Inode& directory, const std::string& name);
  std::string posix_name_of(const Inode& directory, std::string_view key) const;

  // --- S3 keys
  Inode* find_bucket(const std::string& name);
  Result<Inode*> need_bucket(const std::string& name);
  // The file, or the directory of a key that ends in '/', that is this object; null if there is
  // none.
  Inode* find_object(Inode& bucket, const std::string& key);
  // The directory that holds the key's last component, made if need be. Errors: kNameTooLong.
  Inode& make_parents(Inode& bucket, const std::string& key, const proto::Identity& owner,
                      const Context& context);
  // Removes implicit directories that became empty, upwards.
  void collect_implicit(Inode& directory, const Inode& bucket);

  // --- bytes
  // Checks that a client may commit these extents: their packs are open and its own. Errors:
  // kFenced, kInvalidArgument.
  Status check_extents(const ExtentList& extents, const Context& context) const;
  void account(const ExtentList& extents, bool fresh);  // references gained
  void release(const Extent& extent);                   // a reference lost
  DroppedExtent releaser() {
    return [this](const Extent& extent) { release(extent); };
  }
  // Replaces an inode's bytes as one new version.
  void set_content(Inode& inode, ExtentList extents, std::uint64_t size);

  // --- change notes: keys of records
  void note_global() { changes.note({&kGlobalsLetter, 1}); }
  void note_session(std::uint64_t id) { changes.note(number_key(kSessionLetter, id)); }
  void note_pack(std::uint64_t id) { changes.note(number_key(kPackLetter, id)); }
  void note_upload(const std::string& id) { changes.note(kUploadLetter + id); }
  void note_bucket_config(const std::string& key) { changes.note(kConfigLetter + key); }
  void note_cluster_map() { changes.note({&kMapLetter, 1}); }

  // Of packs (base/ids.h), without `end`.
  struct SequenceRange {
    std::uint64_t first;
    std::uint64_t end;
  };
  struct Globals {
    std::uint64_t next_inode = 2;
    std::uint64_t next_pack = 1;
    std::uint64_t next_session = 1;
    std::uint64_t next_group = 0;
    std::int64_t last_time_ns = 0;
    // Packs with these sequences may have been leased after a dump was made that was loaded since.
    std::vector<SequenceRange> kept_unknown;
  };

  // Of for_each_inode: those of the table of files, and one for the directories.
  static constexpr std::size_t kShards = InodeTable::kShards + 1;
  InodeTable files;  // all that are not directories
  absl::btree_map<std::uint64_t, std::unique_ptr<Inode>> directories;
  Globals globals;
  absl::btree_map<std::uint64_t, Session> sessions;
  absl::btree_map<std::uint64_t, PackEntry> packs;
  std::map<std::string, Upload> uploads;
  std::map<std::string, std::string> bucket_configs;  // bucket inode '/' name
  ClusterMap cluster_map;
  proto::ClusterMapProto cluster_map_proto;
  // Not journaled: who holds which inode open, and how often.
  absl::flat_hash_map<std::uint64_t, absl::flat_hash_map<std::uint64_t, std::uint32_t>> open_files;

  absl::flat_hash_set<std::uint64_t> unreaped;  // derived: inodes whose holders name 0
  absl::btree_set<std::uint64_t> held;          // derived: inodes that have holders

  ChangeNotes changes;

 private:
  void note_entry(const Inode& directory, const std::string& key);
  std::unique_ptr<Inode> take_blank(std::uint64_t id);

  std::uint64_t directory_bytes_ = 0;  // of entries and own keys
  // Unpacked for the command or query that runs, and some that wait to be used again.
  absl::flat_hash_map<std::uint64_t, std::unique_ptr<Inode>> unpacked_;
  std::vector<std::unique_ptr<Inode>> blank_;
  std::unique_ptr<Inode> peeked_;
  std::string packing_;
};

// What S3 keeps of the inode: as it was stored, and with what is derived where nothing was.
proto::ObjectMeta stored_object(const Inode& inode);
proto::ObjectMeta object_of(const Inode& inode);
// The splits of a key at '/': the last one is empty for a key that ends in '/'.
std::vector<std::string> split_key(const std::string& key);

}  // namespace shoal::metad
