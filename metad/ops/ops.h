// The operations, one function each. A command's function checks everything first and then changes
// the state, so that an error leaves nothing behind; it fills the reply's op on success. A query's
// function fills its reply. Errors are those of the POSIX call or S3 operation that the command
// stands for.
#pragma once

#include "metad/state/state.h"

namespace shoal::metad {

// name_ops.cc
Status create_file(State& state, const proto::CreateFile& op, const Context& context,
                   proto::CommandReply* reply);
Status link_file(State& state, const proto::LinkFile& op, const Context& context,
                 proto::CommandReply* reply);
Status unlink_file(State& state, const proto::UnlinkFile& op, const Context& context,
                   proto::CommandReply* reply);
Status remove_directory(State& state, const proto::RemoveDirectory& op, const Context& context);
Status rename_file(State& state, const proto::RenameFile& op, const Context& context,
                   proto::CommandReply* reply);
Status reap_orphans(State& state, const proto::ReapOrphans& op, const Context& context);
Status release_orphan(State& state, const proto::ReleaseOrphan& op, const Context& context);

// data_ops.cc
Status set_attributes(State& state, const proto::SetAttributes& op, const Context& context,
                      proto::CommandReply* reply);
Status commit_data(State& state, const proto::CommitData& op, const Context& context,
                   proto::CommandReply* reply);
Status clone_range(State& state, const proto::CloneRange& op, const Context& context,
                   proto::CommandReply* reply);
Status set_xattr(State& state, const proto::SetXattr& op, const Context& context);
Status remove_xattr(State& state, const proto::RemoveXattr& op, const Context& context);

// swap_ops.cc
Status swap_extents(State& state, const proto::SwapExtents& op, const Context& context);
Status swap_references(State& state, const proto::SwapReferences& op, const Context& context,
                       proto::CommandReply* reply);

// session_ops.cc
Status open_session(State& state, const proto::OpenSession& op, proto::CommandReply* reply);
Status close_session(State& state, const proto::CloseSession& op, const Context& context);
// Whether there is anything to lease; else the error that lease_packs has.
Status check_lease_packs(const State& state, const proto::LeasePacks& op);
Status lease_packs(State& state, const proto::LeasePacks& op, const Context& context,
                   proto::CommandReply* reply);
Status close_packs(State& state, const proto::ClosePack& op, const Context& context);
Status pack_deleted(State& state, const proto::PackDeleted& op);
Status rows_deleted(State& state, const proto::RowsDeleted& op);
Status set_cluster_map(State& state, const proto::SetClusterMap& op);

// cluster_ops.cc
// What follows from a change: stamped into its command before that is journaled.
void plan_change(const State& state, const proto::ChangeCluster& op, proto::PlacementPlan* plan);
Status change_cluster(State& state, const proto::ChangeCluster& op,
                      const proto::PlacementPlan& plan, proto::ClusterReply* reply);

// object_ops.cc
Status create_bucket(State& state, const proto::CreateBucket& op, const Context& context);
Status delete_bucket(State& state, const proto::DeleteBucket& op, const Context& context);
Status set_bucket_config(State& state, const proto::SetBucketConfig& op);
Status put_object(State& state, const proto::PutObject& op, const Context& context,
                  proto::CommandReply* reply);
Status delete_objects(State& state, const proto::DeleteObjects& op, const Context& context,
                      proto::CommandReply* reply);
Status copy_object(State& state, const proto::CopyObject& op, const Context& context,
                   proto::CommandReply* reply);
// S3's rules for conditional requests; `inode` null: there is no such object. kPreconditionFailed,
// or kNotModified for reads. Source: AWS GetObject and PutObject; RFC 9110, section 13.2.2.
Status check_conditions(const proto::Conditions& conditions, const Inode* inode, bool reading);
// Puts a new version in the place of the key's old one. The extents' references are the caller's to
// account.
Inode& replace_object(State& state, Inode& bucket, const std::string& key,
                      const proto::Identity& owner, const Context& context);

// upload_ops.cc
Status create_upload(State& state, const proto::CreateUpload& op, const Context& context,
                     proto::CommandReply* reply);
Status put_part(State& state, const proto::PutPart& op, const Context& context,
                proto::CommandReply* reply);
Status copy_part(State& state, const proto::CopyPart& op, const Context& context,
                 proto::CommandReply* reply);
Status complete_upload(State& state, const proto::CompleteUpload& op, const Context& context,
                       proto::CommandReply* reply);
Status abort_upload(State& state, const proto::AbortUpload& op);
Status list_uploads(State& state, const proto::ListUploads& op, proto::ListUploadsReply* reply);
Status list_parts(State& state, const proto::ListParts& op, proto::ListPartsReply* reply);

// listing.cc
Status list_objects(State& state, const proto::ListObjects& op, proto::ListObjectsReply* reply);
// Whether the bucket holds any object.
bool has_objects(State& state, Inode& bucket);

// reference_queries.cc
Status list_references(State& state, const proto::ListReferences& op,
                       proto::ListReferencesReply* reply);

// restore.cc: what StateMachine::become_restored does.
Status restore_state(State& state);

// queries.cc
void answer_query(State& state, const proto::Query& query, proto::QueryReply* reply);

}  // namespace shoal::metad
