#include "metad/state/records.h"

#include "base/compact.h"
#include "base/encoding.h"
#include "metad/state/inode_record.h"
#include "metad/state/records.pb.h"

namespace shoal::metad {
namespace {

std::string write_session(const Session& session) {
  records::SessionRecord record;
  record.set_client_name(session.client_name);
  record.set_slot_count(static_cast<std::uint32_t>(session.slots.size()));
  for (std::size_t i = 0; i < session.slots.size(); ++i) {
    if (session.slots[i].sequence == 0) continue;
    records::SlotRecord* slot = record.add_slots();
    slot->set_slot(static_cast<std::uint32_t>(i));
    slot->set_sequence(session.slots[i].sequence);
    slot->set_reply(session.slots[i].reply);
  }
  return record.SerializeAsString();
}

Status read_session(State* state, std::string_view key, std::string_view value) {
  records::SessionRecord record;
  if (!record.ParseFromArray(value.data(), static_cast<int>(value.size())))
    return record_error(key, "does not parse");
  Session& session = state->sessions[number_of_key(key)];
  session.client_name = record.client_name();
  session.slots.resize(record.slot_count());
  for (const records::SlotRecord& slot : record.slots()) {
    if (slot.slot() >= session.slots.size()) return record_error(key, "a slot out of range");
    session.slots[slot.slot()] = {slot.sequence(), slot.reply()};
  }
  return OkStatus();
}

std::string write_pack(const PackEntry& pack) {
  records::PackRecord record;
  record.set_state(static_cast<std::uint32_t>(pack.state));
  record.set_epoch(pack.epoch);
  record.set_session(pack.session);
  record.set_committed_bytes(pack.committed_bytes);
  for (const std::uint64_t bytes : pack.rows) record.add_row_live_bytes(bytes);
  record.set_kept(pack.kept);
  return record.SerializeAsString();
}

Status read_pack(State* state, std::string_view key, std::string_view value) {
  records::PackRecord record;
  if (!record.ParseFromArray(value.data(), static_cast<int>(value.size())))
    return record_error(key, "does not parse");
  PackEntry& pack = state->packs[number_of_key(key)];
  pack.state = static_cast<proto::PackState>(record.state());
  pack.epoch = record.epoch();
  pack.session = record.session();
  pack.committed_bytes = record.committed_bytes();
  pack.kept = record.kept();
  for (const std::uint64_t bytes : record.row_live_bytes()) {
    pack.rows.push_back(bytes);
    pack.live_bytes += bytes;
  }
  return OkStatus();
}

std::string write_upload(const Upload& upload) {
  records::UploadRecord record;
  record.set_bucket(upload.bucket);
  record.set_key(upload.key);
  record.set_initiated_ns(upload.initiated_ns);
  *record.mutable_object() = upload.object;
  *record.mutable_owner() = upload.owner;
  for (const auto& [number, part] : upload.parts) {
    records::PartRecord* out = record.add_parts();
    *out->mutable_part() = part.info;
    extents_to_proto(part.extents, out->mutable_extents());
  }
  return record.SerializeAsString();
}

Status read_upload(State* state, std::string_view key, std::string_view value) {
  records::UploadRecord record;
  if (!record.ParseFromArray(value.data(), static_cast<int>(value.size())))
    return record_error(key, "does not parse");
  Upload& upload = state->uploads[std::string(key.substr(1))];
  upload.bucket = record.bucket();
  upload.key = record.key();
  upload.initiated_ns = record.initiated_ns();
  upload.object = record.object();
  upload.owner = record.owner();
  for (const records::PartRecord& part : record.parts()) {
    auto extents = extents_from_proto(part.extents());
    if (!extents.ok()) return record_error(key, extents.status().message());
    upload.parts[part.part().number()] = {part.part(), std::move(*extents)};
  }
  return OkStatus();
}

std::string write_globals(const State::Globals& globals) {
  records::GlobalRecord record;
  record.set_next_inode(globals.next_inode);
  record.set_next_pack(globals.next_pack);
  record.set_next_session(globals.next_session);
  record.set_next_group(globals.next_group);
  record.set_last_time_ns(globals.last_time_ns);
  for (const auto& [first, end] : globals.kept_unknown) {
    records::SequenceRange* range = record.add_kept_unknown();
    range->set_first(first);
    range->set_end(end);
  }
  return record.SerializeAsString();
}

Status read_globals(State* state, std::string_view key, std::string_view value) {
  records::GlobalRecord record;
  if (!record.ParseFromArray(value.data(), static_cast<int>(value.size())))
    return record_error(key, "does not parse");
  state->globals = {record.next_inode(), record.next_pack(),    record.next_session(),
                    record.next_group(), record.last_time_ns(), {}};
  for (const records::SequenceRange& range : record.kept_unknown())
    state->globals.kept_unknown.push_back({range.first(), range.end()});
  return OkStatus();
}

// A record whose table is a map by number.
template <typename Map, typename Write>
std::optional<std::string> find_numbered(const Map& map, std::string_view key, const Write& write) {
  const auto found = map.find(number_of_key(key));
  if (found == map.end()) return std::nullopt;
  return write(found->second);
}

std::optional<std::string> make_inode_record(const State& state, std::uint64_t id) {
  const auto directory = state.directories.find(id);
  if (directory != state.directories.end()) {
    std::string record;
    write_inode(*directory->second, &record);
    return record;
  }
  const std::string_view record = state.files.find(id);
  if (record.empty()) return std::nullopt;
  return std::string(record);
}

std::optional<std::string> make_entry_record(const State& state, std::string_view key) {
  const auto directory = state.directories.find(number_of_key(key));
  if (directory == state.directories.end()) return std::nullopt;
  const std::uint64_t inode =
      directory->second->directory->entries.find(key.substr(kNumberKeyBytes));
  if (inode == 0) return std::nullopt;
  std::string record;
  put_varint(&record, inode);
  return record;
}

}  // namespace

Status record_error(std::string_view key, const std::string& what) {
  return CorruptionError("checkpoint record " + hex_encode(key) + ": " + what);
}

std::optional<std::string> make_record(const State& state, std::string_view key) {
  switch (key[0]) {
    case kInodeLetter: return make_inode_record(state, number_of_key(key));
    case kEntryLetter: return make_entry_record(state, key);
    case kSessionLetter: return find_numbered(state.sessions, key, write_session);
    case kPackLetter: return find_numbered(state.packs, key, write_pack);
    case kUploadLetter: {
      const auto found = state.uploads.find(std::string(key.substr(1)));
      if (found == state.uploads.end()) return std::nullopt;
      return write_upload(found->second);
    }
    case kConfigLetter: {
      const auto found = state.bucket_configs.find(std::string(key.substr(1)));
      if (found == state.bucket_configs.end()) return std::nullopt;
      return found->second;
    }
    case kMapLetter: return state.cluster_map_proto.SerializeAsString();
    default: return write_globals(state.globals);
  }
}

Status read_small_record(State* state, std::string_view key, std::string_view value) {
  switch (key[0]) {
    case kSessionLetter: return read_session(state, key, value);
    case kPackLetter: return read_pack(state, key, value);
    case kUploadLetter: return read_upload(state, key, value);
    case kConfigLetter:
      state->bucket_configs[std::string(key.substr(1))] = std::string(value);
      return OkStatus();
    case kGlobalsLetter: return read_globals(state, key, value);
    case kMapLetter: {
      if (!state->cluster_map_proto.ParseFromArray(value.data(), static_cast<int>(value.size())))
        return record_error(key, "does not parse");
      auto map = wire::cluster_map_from_proto(state->cluster_map_proto);
      if (!map.ok()) return record_error(key, map.status().message());
      state->cluster_map = std::move(*map);
      return OkStatus();
    }
    default: return record_error(key, "of an unknown kind");
  }
}

}  // namespace shoal::metad
