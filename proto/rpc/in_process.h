// The seam between cores in one process: an API of another executor, called on its executor through
// its queue. Used in the all-in-one program in the place of gRPC.
#pragma once

#include "base/async/task.h"
#include "proto/metadata_api.h"
#include "proto/storage_api.h"

namespace shoal::rpc {

// `target` lives on `executor`; both outlive this object. Any executor may call.
class InProcessStorage final : public StorageApi {
 public:
  InProcessStorage(StorageApi& target, Executor& executor) : target_(target), executor_(executor) {}

  Task<Status> write_fragment(WriteFragmentRequest request, MonotonicTime deadline) override;
  Task<Result<Buffer>> read_fragment(ReadFragmentRequest request, MonotonicTime deadline) override;
  Task<Result<RowShape>> row_shape(DriveId drive, PackId pack, std::uint32_t row,
                                   MonotonicTime deadline) override;
  Task<Result<std::vector<RowObject>>> row_directory(DriveId drive, FragmentKey key,
                                                     MonotonicTime deadline) override;
  Task<Status> seal_pack(DriveId drive, PackId pack, std::uint64_t epoch,
                         MonotonicTime deadline) override;
  Task<Status> delete_pack(DriveId drive, PackId pack, MonotonicTime deadline) override;
  Task<Status> evict_pack(DriveId drive, PackId pack, MonotonicTime deadline) override;
  Task<Status> delete_rows(DriveId drive, PackId pack, std::vector<std::uint32_t> rows,
                           MonotonicTime deadline) override;
  Task<Result<std::vector<PackInfo>>> list_packs(DriveId drive, PackId after, std::uint32_t limit,
                                                 MonotonicTime deadline) override;
  Task<Result<std::vector<FragmentInfo>>> list_fragments(DriveId drive, PackId pack,
                                                         std::uint32_t first_row,
                                                         std::uint32_t limit, FragmentDetail detail,
                                                         MonotonicTime deadline) override;
  Task<Result<std::vector<DamagedFragment>>> damaged_fragments(DriveId drive, FragmentKey after,
                                                               std::uint32_t limit,
                                                               MonotonicTime deadline) override;
  Task<Status> scrub(DriveId drive, ScrubAction action, std::uint64_t bytes_per_second,
                     MonotonicTime deadline) override;
  Task<Result<std::vector<DriveStatus>>> status(MonotonicTime deadline) override;

 private:
  StorageApi& target_;
  Executor& executor_;
};

class InProcessMetadata final : public MetadataApi {
 public:
  InProcessMetadata(MetadataApi& target, Executor& executor)
      : target_(target), executor_(executor) {}
  Task<Result<proto::CommandReply>> execute(proto::Command command,
                                            MonotonicTime deadline) override;
  Task<Result<proto::QueryReply>> query(proto::Query query, MonotonicTime deadline) override;

 private:
  MetadataApi& target_;
  Executor& executor_;
};

}  // namespace shoal::rpc
