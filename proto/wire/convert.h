// Between protobuf messages and base types. What comes from the wire is checked: a value out of
// range is a Status.
#pragma once

#include "base/cluster_map.h"
#include "base/extent.h"
#include "base/result.h"
#include "proto/metadata.pb.h"

namespace shoal::wire {

Status status_from_proto(const proto::StatusProto& from);
void status_to_proto(const Status& from, proto::StatusProto* to);

// Errors: kInvalidArgument for an empty, overlong, overlapping or misplaced extent.
Result<ExtentList> extents_from_proto(
    const google::protobuf::RepeatedPtrField<proto::ExtentProto>& list);
void extents_to_proto(const ExtentList& list,
                      google::protobuf::RepeatedPtrField<proto::ExtentProto>* out);

// Errors: kInvalidArgument for duplicate or unsorted ids, unknown drives, codes out of range.
Result<ClusterMap> cluster_map_from_proto(const proto::ClusterMapProto& from);
proto::ClusterMapProto cluster_map_to_proto(const ClusterMap& from);
// `map` knows the drives.
Result<PlacementGroup> placement_group_from_proto(const proto::PlacementGroupProto& from,
                                                  const ClusterMap& map);
proto::PlacementGroupProto placement_group_to_proto(const PlacementGroup& from);

}  // namespace shoal::wire
