#include "proto/wire/convert.h"

#include <algorithm>

#include "base/row_layout.h"

namespace shoal::wire {

Status status_from_proto(const proto::StatusProto& from) {
  return from.code() == 0 ? OkStatus() : Status(status_code_from_wire(from.code()), from.message());
}

void status_to_proto(const Status& from, proto::StatusProto* to) {
  to->set_code(static_cast<int>(from.code()));
  if (!from.ok()) to->set_message(from.message());
}

Result<ExtentList> extents_from_proto(
    const google::protobuf::RepeatedPtrField<proto::ExtentProto>& list) {
  ExtentList extents;
  extents.reserve(static_cast<std::size_t>(list.size()));
  for (const proto::ExtentProto& from : list) {
    Extent extent;
    extent.file_offset = from.file_offset();
    extent.length = from.length();
    extent.pack = PackId(from.pack());
    extent.row = from.row();
    extent.column = static_cast<std::uint8_t>(from.column());
    extent.column_offset = from.column_offset();
    extent.stored_offset = from.stored_offset();
    extent.stored_length = from.stored_length() == 0 ? from.length() : from.stored_length();
    extent.crc32c = from.crc32c();
    const bool ordered = extents.empty() || extents.back().file_end() <= extent.file_offset;
    if (extent.length == 0 || extent.length > kMaxColumnBytes || from.column() >= kMaxDataColumns ||
        !ordered || extent.stored_offset > extent.column_offset ||
        extent.file_offset > kMaxFileBytes ||
        std::uint64_t{extent.column_offset} + extent.length > kMaxColumnBytes ||
        std::uint64_t{extent.stored_offset} + extent.length > extent.stored_length) {
      return InvalidArgumentError("an extent at file offset " + std::to_string(extent.file_offset) +
                                  " is malformed or out of order");
    }
    extents.push_back(extent);
  }
  return extents;
}

void extents_to_proto(const ExtentList& list,
                      google::protobuf::RepeatedPtrField<proto::ExtentProto>* out) {
  out->Reserve(out->size() + static_cast<int>(list.size()));
  for (const Extent& extent : list) {
    proto::ExtentProto* to = out->Add();
    to->set_file_offset(extent.file_offset);
    to->set_length(extent.length);
    to->set_pack(extent.pack.value());
    to->set_row(extent.row);
    to->set_column(extent.column);
    to->set_column_offset(extent.column_offset);
    to->set_stored_offset(extent.stored_offset);
    if (extent.stored_length != extent.length) to->set_stored_length(extent.stored_length);
    to->set_crc32c(extent.crc32c);
  }
}

static Status moves_from_proto(const proto::PlacementGroupProto& from, const ClusterMap& map,
                               PlacementGroup* group) {
  for (const proto::ColumnMoveProto& move : from.moves()) {
    const DriveId to(move.to());
    const bool ascending = group->moves.empty() || move.column() > group->moves.back().column;
    if (!ascending || static_cast<int>(move.column()) >= group->code.width())
      return InvalidArgumentError("a move of column " + std::to_string(move.column()));
    if (map.drive(to) == nullptr || group->holds(to) || group->expects(to))
      return InvalidArgumentError("a move to drive " + to.to_string());
    group->moves.push_back({static_cast<std::uint8_t>(move.column()), to});
  }
  return OkStatus();
}

template <typename Message>
static Result<CodeShape> code_from_proto(const Message& from) {
  if (from.k() > kMaxDataColumns || from.m() > kMaxParityColumns || from.matrix() > 255)
    return InvalidArgumentError("the code is out of range");
  const CodeShape code{static_cast<std::uint8_t>(from.k()), static_cast<std::uint8_t>(from.m()),
                       static_cast<MatrixId>(from.matrix())};
  RETURN_IF_ERROR(validate(code));
  return code;
}

template <typename Message>
static void code_to_proto(const CodeShape& code, Message* to) {
  to->set_k(code.k);
  to->set_m(code.m);
  to->set_matrix(static_cast<std::uint32_t>(code.matrix));
}

static Status fill_group(const proto::PlacementGroupProto& from, const ClusterMap& map,
                         PlacementGroup* group) {
  ASSIGN_OR_RETURN(group->code, code_from_proto(from));
  if (from.use() > static_cast<std::uint32_t>(GroupUse::kLastResort))
    return InvalidArgumentError("use " + std::to_string(from.use()));
  group->use = static_cast<GroupUse>(from.use());
  for (const std::uint32_t id : from.drives()) {
    const DriveId drive(id);
    if (map.drive(drive) == nullptr || group->holds(drive))
      return InvalidArgumentError("drive " + std::to_string(id) + " is unknown or named twice");
    group->drives.push_back(drive);
  }
  if (static_cast<int>(group->drives.size()) != group->code.width())
    return InvalidArgumentError("it has " + std::to_string(group->drives.size()) + " drives");
  return moves_from_proto(from, map, group);
}

Result<PlacementGroup> placement_group_from_proto(const proto::PlacementGroupProto& from,
                                                  const ClusterMap& map) {
  if (from.id() >= 1U << (64 - kPackSequenceBits))
    return InvalidArgumentError("placement group " + std::to_string(from.id()) +
                                ": the id is too large");
  PlacementGroup group;
  group.id = PgId(from.id());
  RETURN_IF_ERROR(
      fill_group(from, map, &group).with_context("placement group " + std::to_string(from.id())));
  return group;
}

Result<ClusterMap> cluster_map_from_proto(const proto::ClusterMapProto& from) {
  ClusterMap map;
  map.epoch = from.epoch();
  map.cluster_uuid = from.cluster_uuid();
  for (const proto::DriveProto& drive : from.drives()) {
    if (!map.drives.empty() && drive.id() <= map.drives.back().id.value()) {
      return InvalidArgumentError("cluster map: drive " + std::to_string(drive.id()) +
                                  " is out of order");
    }
    if (drive.state() > static_cast<std::uint32_t>(DriveState::kOut)) {
      return InvalidArgumentError("cluster map: drive " + std::to_string(drive.id()) +
                                  " is in an unknown state");
    }
    map.drives.push_back({DriveId(drive.id()), NodeId(drive.node()), drive.uuid(), drive.address(),
                          drive.host(), drive.rack(), static_cast<DriveState>(drive.state())});
  }
  map.last_drive = DriveId(from.last_drive());
  if (!map.drives.empty()) map.last_drive = std::max(map.last_drive, map.drives.back().id);
  for (const proto::PlacementGroupProto& group : from.groups()) {
    if (!map.groups.empty() && group.id() <= map.groups.back().id.value()) {
      return InvalidArgumentError("cluster map: placement group " + std::to_string(group.id()) +
                                  " is out of order");
    }
    auto row = placement_group_from_proto(group, map);
    if (!row.ok()) return row.status().with_context("cluster map");
    if (from.k() == 0 && row->code.k > map.code.k) map.code = row->code;
    map.groups.push_back(std::move(*row));
  }
  if (from.k() > 0) {
    auto code = code_from_proto(from);
    if (!code.ok()) return code.status().with_context("cluster map");
    map.code = *code;
  }
  return map;
}

proto::PlacementGroupProto placement_group_to_proto(const PlacementGroup& from) {
  proto::PlacementGroupProto to;
  to.set_id(from.id.value());
  code_to_proto(from.code, &to);
  to.set_use(static_cast<std::uint32_t>(from.use));
  for (const DriveId id : from.drives) to.add_drives(id.value());
  for (const ColumnMove& move : from.moves) {
    proto::ColumnMoveProto* out = to.add_moves();
    out->set_column(move.column);
    out->set_to(move.to.value());
  }
  return to;
}

proto::ClusterMapProto cluster_map_to_proto(const ClusterMap& from) {
  proto::ClusterMapProto to;
  to.set_epoch(from.epoch);
  to.set_cluster_uuid(from.cluster_uuid);
  to.set_last_drive(from.last_drive.value());
  code_to_proto(from.code, &to);
  for (const DriveInfo& drive : from.drives) {
    proto::DriveProto* out = to.add_drives();
    out->set_id(drive.id.value());
    out->set_node(drive.node.value());
    out->set_uuid(drive.uuid);
    out->set_address(drive.address);
    out->set_host(drive.host);
    out->set_rack(drive.rack);
    out->set_state(static_cast<std::uint32_t>(drive.state));
  }
  for (const PlacementGroup& group : from.groups)
    *to.add_groups() = placement_group_to_proto(group);
  return to;
}

}  // namespace shoal::wire
