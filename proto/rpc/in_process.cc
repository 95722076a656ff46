#include "proto/rpc/in_process.h"

namespace shoal::rpc {

Task<Status> InProcessStorage::write_fragment(WriteFragmentRequest request,
                                              MonotonicTime deadline) {
  co_return co_await run_on(executor_,
                            [&] { return target_.write_fragment(std::move(request), deadline); });
}
Task<Result<Buffer>> InProcessStorage::read_fragment(ReadFragmentRequest request,
                                                     MonotonicTime deadline) {
  co_return co_await run_on(executor_, [&] { return target_.read_fragment(request, deadline); });
}
Task<Result<RowShape>> InProcessStorage::row_shape(DriveId drive, PackId pack, std::uint32_t row,
                                                   MonotonicTime deadline) {
  co_return co_await run_on(executor_,
                            [&] { return target_.row_shape(drive, pack, row, deadline); });
}
Task<Result<std::vector<RowObject>>> InProcessStorage::row_directory(DriveId drive, FragmentKey key,
                                                                     MonotonicTime deadline) {
  co_return co_await run_on(executor_, [&] { return target_.row_directory(drive, key, deadline); });
}
Task<Status> InProcessStorage::seal_pack(DriveId drive, PackId pack, std::uint64_t epoch,
                                         MonotonicTime deadline) {
  co_return co_await run_on(executor_,
                            [&] { return target_.seal_pack(drive, pack, epoch, deadline); });
}
Task<Status> InProcessStorage::delete_pack(DriveId drive, PackId pack, MonotonicTime deadline) {
  co_return co_await run_on(executor_, [&] { return target_.delete_pack(drive, pack, deadline); });
}
Task<Status> InProcessStorage::evict_pack(DriveId drive, PackId pack, MonotonicTime deadline) {
  co_return co_await run_on(executor_, [&] { return target_.evict_pack(drive, pack, deadline); });
}
Task<Status> InProcessStorage::delete_rows(DriveId drive, PackId pack,
                                           std::vector<std::uint32_t> rows,
                                           MonotonicTime deadline) {
  co_return co_await run_on(
      executor_, [&] { return target_.delete_rows(drive, pack, std::move(rows), deadline); });
}
Task<Result<std::vector<PackInfo>>> InProcessStorage::list_packs(DriveId drive, PackId after,
                                                                 std::uint32_t limit,
                                                                 MonotonicTime deadline) {
  co_return co_await run_on(executor_,
                            [&] { return target_.list_packs(drive, after, limit, deadline); });
}
Task<Result<std::vector<FragmentInfo>>> InProcessStorage::list_fragments(DriveId drive, PackId pack,
                                                                         std::uint32_t first_row,
                                                                         std::uint32_t limit,
                                                                         FragmentDetail detail,
                                                                         MonotonicTime deadline) {
  co_return co_await run_on(executor_, [&] {
    return target_.list_fragments(drive, pack, first_row, limit, detail, deadline);
  });
}
Task<Result<std::vector<DamagedFragment>>> InProcessStorage::damaged_fragments(
    DriveId drive, FragmentKey after, std::uint32_t limit, MonotonicTime deadline) {
  co_return co_await run_on(
      executor_, [&] { return target_.damaged_fragments(drive, after, limit, deadline); });
}
Task<Status> InProcessStorage::scrub(DriveId drive, ScrubAction action,
                                     std::uint64_t bytes_per_second, MonotonicTime deadline) {
  co_return co_await run_on(
      executor_, [&] { return target_.scrub(drive, action, bytes_per_second, deadline); });
}
Task<Result<std::vector<DriveStatus>>> InProcessStorage::status(MonotonicTime deadline) {
  co_return co_await run_on(executor_, [&] { return target_.status(deadline); });
}

Task<Result<proto::CommandReply>> InProcessMetadata::execute(proto::Command command,
                                                             MonotonicTime deadline) {
  co_return co_await run_on(executor_,
                            [&] { return target_.execute(std::move(command), deadline); });
}
Task<Result<proto::QueryReply>> InProcessMetadata::query(proto::Query query,
                                                         MonotonicTime deadline) {
  co_return co_await run_on(executor_, [&] { return target_.query(std::move(query), deadline); });
}

}  // namespace shoal::rpc
