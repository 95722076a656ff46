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
    const std::string name = "cluster map: placement group " + std::to_string(group.id());
    if (!map.groups.empty() && group.id() <= map.groups.back().id.value()) {
      return InvalidArgumentError(name + " is out of order");
    }
    if (group.id() >= 1U << (64 - kPackSequenceBits))
      return InvalidArgumentError(name + ": the id is too large");
    if (group.k() > kMaxDataColumns || group.m() > kMaxParityColumns || group.matrix() > 255) {
      return InvalidArgumentError(name + ": the code is out of range");
    }
    PlacementGroup row;
    row.id = PgId(group.id());
    row.code = {static_cast<std::uint8_t>(group.k()), static_cast<std::uint8_t>(group.m()),
                static_cast<MatrixId>(group.matrix())};
    RETURN_IF_ERROR(validate(row.code).with_context(name));
    for (const std::uint32_t id : group.drives()) {
      const DriveId drive(id);
      if (map.drive(drive) == nullptr ||
          std::find(row.drives.begin(), row.drives.end(), drive) != row.drives.end()) {
        return InvalidArgumentError(name + ": drive " + std::to_string(id) +
                                    " is unknown or named twice");
      }
      row.drives.push_back(drive);
    }
    if (static_cast<int>(row.drives.size()) != row.code.width()) {
      return InvalidArgumentError(name + " has " + std::to_string(row.drives.size()) + " drives");
    }
    RETURN_IF_ERROR(moves_from_proto(group, map, &row).with_context(name));
    map.groups.push_back(std::move(row));
  }
  return map;
}

proto::ClusterMapProto cluster_map_to_proto(const ClusterMap& from) {
  proto::ClusterMapProto to;
  to.set_epoch(from.epoch);
  to.set_cluster_uuid(from.cluster_uuid);
  to.set_last_drive(from.last_drive.value());
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
  for (const PlacementGroup& group : from.groups) {
    proto::PlacementGroupProto* out = to.add_groups();
    out->set_id(group.id.value());
    out->set_k(group.code.k);
    out->set_m(group.code.m);
    out->set_matrix(static_cast<std::uint32_t>(group.code.matrix));
    for (const DriveId id : group.drives) out->add_drives(id.value());
    for (const ColumnMove& move : group.moves) {
      proto::ColumnMoveProto* to_move = out->add_moves();
      to_move->set_column(move.column);
      to_move->set_to(move.to.value());
    }
  }
  return to;
}

}  // namespace shoal::wire
