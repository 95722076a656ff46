// The APIs of daemons in other processes, over an RpcChannel. Belong to the channel's executor, as
// does what a call waits for.
#pragma once

#include "proto/metadata_api.h"
#include "proto/rpc/channel.h"
#include "proto/storage.pb.h"
#include "proto/storage_api.h"

namespace shoal::rpc {

// `channel` outlives it.
class RemoteStorage final : public StorageApi {
 public:
  explicit RemoteStorage(RpcChannel& channel) : channel_(channel) {}

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
  struct Answer {
    proto::StorageReply reply;
    BufferList payload;
  };
  Task<Result<Answer>> ask(proto::StorageRequest request, BufferList payload,
                           MonotonicTime deadline);
  Task<Status> tell(proto::StorageRequest request, BufferList payload, MonotonicTime deadline);

  RpcChannel& channel_;
};

// `channel` outlives it.
class RemoteMetadata final : public MetadataApi {
 public:
  explicit RemoteMetadata(RpcChannel& channel) : channel_(channel) {}
  Task<Result<proto::CommandReply>> execute(proto::Command command,
                                            MonotonicTime deadline) override;
  Task<Result<proto::QueryReply>> query(proto::Query query, MonotonicTime deadline) override;

 private:
  RpcChannel& channel_;
};

}  // namespace shoal::rpc
