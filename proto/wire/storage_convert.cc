#include "proto/wire/storage_convert.h"

namespace shoal::wire {
namespace {

Result<std::uint8_t> column_from_wire(std::uint32_t column) {
  if (column >= static_cast<std::uint32_t>(kMaxColumns))
    return InvalidArgumentError("column " + std::to_string(column) + " is out of range");
  return static_cast<std::uint8_t>(column);
}

using DirectoryProto = google::protobuf::RepeatedPtrField<proto::RowObjectProto>;

Result<std::vector<RowObject>> objects_from_proto(const DirectoryProto& from) {
  std::vector<RowObject> directory;
  directory.reserve(static_cast<std::size_t>(from.size()));
  for (const proto::RowObjectProto& object : from) {
    ASSIGN_OR_RETURN(const std::uint8_t column, column_from_wire(object.column()));
    directory.push_back({InodeId(object.inode()), object.file_offset(), column,
                         object.column_offset(), object.length(), object.crc32c()});
  }
  return directory;
}

void objects_to_proto(const std::vector<RowObject>& from, DirectoryProto* to) {
  to->Reserve(static_cast<int>(from.size()));
  for (const RowObject& object : from) {
    proto::RowObjectProto* out = to->Add();
    out->set_inode(object.inode.value());
    out->set_file_offset(object.file_offset);
    out->set_column(object.column);
    out->set_column_offset(object.column_offset);
    out->set_length(object.length);
    out->set_crc32c(object.crc32c);
  }
}

ScrubStatus scrub_from_proto(const proto::ScrubStatusProto& from) {
  ScrubStatus scrub;
  // What a newer daemon may say more is shown as waiting.
  scrub.state = from.state() <= static_cast<std::uint32_t>(ScrubState::kRunning)
                    ? static_cast<ScrubState>(from.state())
                    : ScrubState::kWaiting;
  scrub.bytes_done = from.bytes_done();
  scrub.bytes_total = from.bytes_total();
  scrub.bytes_per_second = from.bytes_per_second();
  scrub.passes = from.passes();
  scrub.last_finished_ns = from.last_finished_ns();
  return scrub;
}

void scrub_to_proto(const ScrubStatus& from, proto::ScrubStatusProto* to) {
  to->set_state(static_cast<std::uint32_t>(from.state));
  to->set_bytes_done(from.bytes_done);
  to->set_bytes_total(from.bytes_total);
  to->set_bytes_per_second(from.bytes_per_second);
  to->set_passes(from.passes);
  to->set_last_finished_ns(from.last_finished_ns);
}

}  // namespace

Result<RowShape> row_shape_from_proto(const proto::RowShapeProto& from) {
  if (from.k() > kMaxDataColumns || from.m() > kMaxParityColumns || from.matrix() > 255 ||
      from.heights_size() != static_cast<int>(from.k())) {
    return InvalidArgumentError("a row's shape is out of range");
  }
  RowShape shape;
  shape.code = {static_cast<std::uint8_t>(from.k()), static_cast<std::uint8_t>(from.m()),
                static_cast<MatrixId>(from.matrix())};
  for (int i = 0; i < from.heights_size(); ++i)
    shape.heights[static_cast<std::size_t>(i)] = from.heights(i);
  shape.lease_epoch = from.lease_epoch();
  RETURN_IF_ERROR(validate(shape));
  return shape;
}

void row_shape_to_proto(const RowShape& from, proto::RowShapeProto* to) {
  to->set_k(from.code.k);
  to->set_m(from.code.m);
  to->set_matrix(static_cast<std::uint32_t>(from.code.matrix));
  to->mutable_heights()->Add(from.heights.begin(), from.heights.begin() + from.code.k);
  to->set_lease_epoch(from.lease_epoch);
}

Result<WriteFragmentRequest> write_fragment_from_proto(DriveId drive,
                                                       const proto::WriteFragment& from) {
  WriteFragmentRequest request;
  request.drive = drive;
  ASSIGN_OR_RETURN(const std::uint8_t column, column_from_wire(from.column()));
  request.key = {PackId(from.pack()), from.row(), column};
  ASSIGN_OR_RETURN(request.shape, row_shape_from_proto(from.shape()));
  if (column >= request.shape.code.width())
    return InvalidArgumentError("column " + std::to_string(column) + " is not in its row's shape");
  request.reclaiming = from.reclaiming();
  request.page_crcs.assign(from.page_crcs().begin(), from.page_crcs().end());
  ASSIGN_OR_RETURN(request.directory, objects_from_proto(from.directory()));
  request.repair = from.repair();
  return request;
}

void write_fragment_to_proto(const WriteFragmentRequest& from, proto::WriteFragment* to) {
  to->set_pack(from.key.pack.value());
  to->set_row(from.key.row);
  to->set_column(from.key.column);
  row_shape_to_proto(from.shape, to->mutable_shape());
  to->set_reclaiming(from.reclaiming);
  to->mutable_page_crcs()->Add(from.page_crcs.begin(), from.page_crcs.end());
  objects_to_proto(from.directory, to->mutable_directory());
  to->set_repair(from.repair);
}

Result<FragmentKey> fragment_key_from_proto(std::uint64_t pack, std::uint32_t row,
                                            std::uint32_t column) {
  ASSIGN_OR_RETURN(const std::uint8_t checked, column_from_wire(column));
  return FragmentKey{PackId(pack), row, checked};
}

Result<std::vector<RowObject>> directory_from_proto(const proto::StorageReply& from) {
  return objects_from_proto(from.directory());
}

void directory_to_proto(const std::vector<RowObject>& from, proto::StorageReply* to) {
  objects_to_proto(from, to->mutable_directory());
}

Result<std::vector<DamagedFragment>> damaged_from_proto(const proto::StorageReply& from) {
  std::vector<DamagedFragment> damaged;
  damaged.reserve(static_cast<std::size_t>(from.damaged_size()));
  for (const proto::DamagedFragmentProto& one : from.damaged()) {
    ASSIGN_OR_RETURN(const FragmentKey key,
                     fragment_key_from_proto(one.pack(), one.row(), one.column()));
    damaged.push_back({key, one.what()});
  }
  return damaged;
}

void damaged_to_proto(const std::vector<DamagedFragment>& from, proto::StorageReply* to) {
  for (const DamagedFragment& damaged : from) {
    proto::DamagedFragmentProto* out = to->add_damaged();
    out->set_pack(damaged.key.pack.value());
    out->set_row(damaged.key.row);
    out->set_column(damaged.key.column);
    out->set_what(damaged.what);
  }
}

Result<ReadFragmentRequest> read_fragment_from_proto(DriveId drive,
                                                     const proto::ReadFragment& from) {
  ASSIGN_OR_RETURN(const std::uint8_t column, column_from_wire(from.column()));
  if (from.length() > kMaxColumnBytes || from.offset() > kMaxColumnBytes)
    return InvalidArgumentError("a read of " + std::to_string(from.length()) + " bytes at " +
                                std::to_string(from.offset()) + " lies outside any column");
  return ReadFragmentRequest{drive,         {PackId(from.pack()), from.row(), column},
                             from.offset(), from.length(),
                             from.verify(), from.background()};
}

void read_fragment_to_proto(const ReadFragmentRequest& from, proto::ReadFragment* to) {
  to->set_pack(from.key.pack.value());
  to->set_row(from.key.row);
  to->set_column(from.key.column);
  to->set_offset(from.offset);
  to->set_length(from.length);
  to->set_verify(from.verify);
  to->set_background(from.background);
}

Result<std::vector<FragmentInfo>> fragments_from_proto(PackId pack, FragmentDetail detail,
                                                       const proto::StorageReply& from) {
  std::vector<FragmentInfo> fragments;
  fragments.reserve(static_cast<std::size_t>(from.fragments_size()));
  for (const proto::FragmentInfoProto& one : from.fragments()) {
    FragmentInfo info;
    ASSIGN_OR_RETURN(const std::uint8_t column, column_from_wire(one.column()));
    info.key = {pack, one.row(), column};
    if (detail != FragmentDetail::kIndexed || one.has_shape()) {
      ASSIGN_OR_RETURN(info.shape, row_shape_from_proto(one.shape()));
    }
    info.stored_bytes = one.stored_bytes();
    info.log_place = one.log_place();
    fragments.push_back(info);
  }
  return fragments;
}

void fragments_to_proto(const std::vector<FragmentInfo>& from, proto::StorageReply* to) {
  for (const FragmentInfo& info : from) {
    proto::FragmentInfoProto* out = to->add_fragments();
    out->set_row(info.key.row);
    out->set_column(info.key.column);
    if (info.shape) row_shape_to_proto(*info.shape, out->mutable_shape());
    out->set_stored_bytes(info.stored_bytes);
    out->set_log_place(info.log_place);
  }
}

std::vector<PackInfo> packs_from_proto(const proto::StorageReply& from) {
  std::vector<PackInfo> packs;
  packs.reserve(static_cast<std::size_t>(from.packs_size()));
  for (const proto::PackInfoProto& one : from.packs()) {
    packs.push_back(
        {PackId(one.pack()), one.stored_bytes(), one.fragment_count(), one.sealed_epoch()});
  }
  return packs;
}

void packs_to_proto(const std::vector<PackInfo>& from, proto::StorageReply* to) {
  for (const PackInfo& info : from) {
    proto::PackInfoProto* out = to->add_packs();
    out->set_pack(info.pack.value());
    out->set_stored_bytes(info.stored_bytes);
    out->set_fragment_count(info.fragment_count);
    out->set_sealed_epoch(info.sealed_epoch);
  }
}

std::vector<DriveStatus> drives_from_proto(const proto::StorageReply& from) {
  std::vector<DriveStatus> drives;
  for (const proto::DriveStatusProto& one : from.drives()) {
    DriveStatus drive;
    drive.drive = DriveId(one.drive());
    drive.uuid = one.uuid();
    drive.path = one.path();
    drive.state = one.state();
    drive.capacity_bytes = one.capacity_bytes();
    drive.used_bytes = one.used_bytes();
    drive.free_bytes = one.free_bytes();
    drive.pack_count = one.pack_count();
    drive.fragment_count = one.fragment_count();
    drive.index_bytes = one.index_bytes();
    drive.flush_count = one.flush_count();
    drive.write_count = one.write_count();
    drive.read_count = one.read_count();
    drive.damaged_fragments = one.damaged_fragments();
    drive.damaged_unlisted = one.damaged_unlisted();
    drive.damaged_segments = one.damaged_segments();
    drive.scrub = scrub_from_proto(one.scrub());
    drive.payload_bytes_written = one.payload_bytes_written();
    drive.device_bytes_written = one.device_bytes_written();
    drive.segment_bytes = one.segment_bytes();
    drive.segment_count = one.segment_count();
    drive.free_segment_count = one.free_segment_count();
    drive.cleaned_bytes = one.cleaned_bytes();
    drive.opened_ns = one.opened_ns();
    drives.push_back(std::move(drive));
  }
  return drives;
}

void drives_to_proto(const std::vector<DriveStatus>& from, proto::StorageReply* to) {
  for (const DriveStatus& drive : from) {
    proto::DriveStatusProto* out = to->add_drives();
    out->set_drive(drive.drive.value());
    out->set_uuid(drive.uuid);
    out->set_path(drive.path);
    out->set_state(drive.state);
    out->set_capacity_bytes(drive.capacity_bytes);
    out->set_used_bytes(drive.used_bytes);
    out->set_free_bytes(drive.free_bytes);
    out->set_pack_count(drive.pack_count);
    out->set_fragment_count(drive.fragment_count);
    out->set_index_bytes(drive.index_bytes);
    out->set_flush_count(drive.flush_count);
    out->set_write_count(drive.write_count);
    out->set_read_count(drive.read_count);
    out->set_damaged_fragments(drive.damaged_fragments);
    out->set_damaged_unlisted(drive.damaged_unlisted);
    out->set_damaged_segments(drive.damaged_segments);
    scrub_to_proto(drive.scrub, out->mutable_scrub());
    out->set_payload_bytes_written(drive.payload_bytes_written);
    out->set_device_bytes_written(drive.device_bytes_written);
    out->set_segment_bytes(drive.segment_bytes);
    out->set_segment_count(drive.segment_count);
    out->set_free_segment_count(drive.free_segment_count);
    out->set_cleaned_bytes(drive.cleaned_bytes);
    out->set_opened_ns(drive.opened_ns);
  }
}

}  // namespace shoal::wire
