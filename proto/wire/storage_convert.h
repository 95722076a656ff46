// Between the messages of proto/storage.proto and the types of proto/storage_api.h. What comes from
// the wire is checked: a value out of range is a Status.
#pragma once

#include "base/result.h"
#include "proto/storage.pb.h"
#include "proto/storage_api.h"

namespace shoal::wire {

// Errors of all *_from_proto: kInvalidArgument.
Result<RowShape> row_shape_from_proto(const proto::RowShapeProto& from);
void row_shape_to_proto(const RowShape& from, proto::RowShapeProto* to);

// The payload is left empty.
Result<WriteFragmentRequest> write_fragment_from_proto(DriveId drive,
                                                       const proto::WriteFragment& from);
void write_fragment_to_proto(const WriteFragmentRequest& from, proto::WriteFragment* to);

Result<ReadFragmentRequest> read_fragment_from_proto(DriveId drive,
                                                     const proto::ReadFragment& from);
void read_fragment_to_proto(const ReadFragmentRequest& from, proto::ReadFragment* to);

Result<FragmentKey> fragment_key_from_proto(std::uint64_t pack, std::uint32_t row,
                                            std::uint32_t column);

Result<std::vector<RowObject>> directory_from_proto(const proto::StorageReply& from);
void directory_to_proto(const std::vector<RowObject>& from, proto::StorageReply* to);

Result<std::vector<DamagedFragment>> damaged_from_proto(const proto::StorageReply& from);
void damaged_to_proto(const std::vector<DamagedFragment>& from, proto::StorageReply* to);

// `detail` is what was asked for: shapes that then lack are an error.
Result<std::vector<FragmentInfo>> fragments_from_proto(PackId pack, FragmentDetail detail,
                                                       const proto::StorageReply& from);
void fragments_to_proto(const std::vector<FragmentInfo>& from, proto::StorageReply* to);

std::vector<PackInfo> packs_from_proto(const proto::StorageReply& from);
void packs_to_proto(const std::vector<PackInfo>& from, proto::StorageReply* to);

std::vector<DriveStatus> drives_from_proto(const proto::StorageReply& from);
void drives_to_proto(const std::vector<DriveStatus>& from, proto::StorageReply* to);

}  // namespace shoal::wire
