#include "proto/rpc/remote.h"

#include <utility>

#include "proto/wire/convert.h"
#include "proto/wire/storage_convert.h"

namespace shoal::rpc {
namespace {

Status unreadable(const RpcChannel& channel) {
  return CorruptionError(channel.address() + " answered what cannot be read");
}

}  // namespace

Task<Result<RemoteStorage::Answer>> RemoteStorage::ask(proto::StorageRequest request,
                                                       BufferList payload, MonotonicTime deadline) {
  Message message{Service::kStorage, request.SerializeAsString(), std::move(payload)};
  auto reply = co_await channel_.call(std::move(message), deadline);
  if (!reply.ok()) co_return reply.status();
  Answer answer;
  if (!answer.reply.ParseFromString(reply->body)) co_return unreadable(channel_);
  CO_RETURN_IF_ERROR(wire::status_from_proto(answer.reply.status()));
  answer.payload = std::move(reply->payload);
  co_return answer;
}

Task<Status> RemoteStorage::tell(proto::StorageRequest request, BufferList payload,
                                 MonotonicTime deadline) {
  const auto answer = co_await ask(std::move(request), std::move(payload), deadline);
  co_return answer.status();
}

Task<Status> RemoteStorage::write_fragment(WriteFragmentRequest request, MonotonicTime deadline) {
  proto::StorageRequest message;
  message.set_drive(request.drive.value());
  wire::write_fragment_to_proto(request, message.mutable_write_fragment());
  co_return co_await tell(std::move(message), std::move(request.payload), deadline);
}

Task<Result<Buffer>> RemoteStorage::read_fragment(ReadFragmentRequest request,
                                                  MonotonicTime deadline) {
  proto::StorageRequest message;
  message.set_drive(request.drive.value());
  wire::read_fragment_to_proto(request, message.mutable_read_fragment());
  auto answer = co_await ask(std::move(message), {}, deadline);
  if (!answer.ok()) co_return answer.status();
  if (total_size(answer->payload) != request.length) {
    co_return CorruptionError(channel_.address() + " answered " +
                              std::to_string(total_size(answer->payload)) + " bytes instead of " +
                              std::to_string(request.length));
  }
  co_return flatten(answer->payload);
}

Task<Result<RowShape>> RemoteStorage::row_shape(DriveId drive, PackId pack, std::uint32_t row,
                                                MonotonicTime deadline) {
  proto::StorageRequest message;
  message.set_drive(drive.value());
  message.mutable_row_shape()->set_pack(pack.value());
  message.mutable_row_shape()->set_row(row);
  auto answer = co_await ask(std::move(message), {}, deadline);
  if (!answer.ok()) co_return answer.status();
  co_return wire::row_shape_from_proto(answer->reply.row_shape());
}

Task<Result<std::vector<RowObject>>> RemoteStorage::row_directory(DriveId drive, FragmentKey key,
                                                                  MonotonicTime deadline) {
  proto::StorageRequest message;
  message.set_drive(drive.value());
  proto::GetRowDirectory& request = *message.mutable_row_directory();
  request.set_pack(key.pack.value());
  request.set_row(key.row);
  request.set_column(key.column);
  auto answer = co_await ask(std::move(message), {}, deadline);
  if (!answer.ok()) co_return answer.status();
  co_return wire::directory_from_proto(answer->reply);
}

Task<Status> RemoteStorage::seal_pack(DriveId drive, PackId pack, std::uint64_t epoch,
                                      MonotonicTime deadline) {
  proto::StorageRequest message;
  message.set_drive(drive.value());
  message.mutable_seal_pack()->set_pack(pack.value());
  message.mutable_seal_pack()->set_epoch(epoch);
  co_return co_await tell(std::move(message), {}, deadline);
}

Task<Status> RemoteStorage::delete_pack(DriveId drive, PackId pack, MonotonicTime deadline) {
  proto::StorageRequest message;
  message.set_drive(drive.value());
  message.mutable_delete_pack()->set_pack(pack.value());
  co_return co_await tell(std::move(message), {}, deadline);
}

Task<Status> RemoteStorage::evict_pack(DriveId drive, PackId pack, MonotonicTime deadline) {
  proto::StorageRequest message;
  message.set_drive(drive.value());
  message.mutable_evict_pack()->set_pack(pack.value());
  co_return co_await tell(std::move(message), {}, deadline);
}

Task<Status> RemoteStorage::delete_rows(DriveId drive, PackId pack, std::vector<std::uint32_t> rows,
                                        MonotonicTime deadline) {
  proto::StorageRequest message;
  message.set_drive(drive.value());
  message.mutable_delete_rows()->set_pack(pack.value());
  message.mutable_delete_rows()->mutable_rows()->Add(rows.begin(), rows.end());
  co_return co_await tell(std::move(message), {}, deadline);
}

Task<Result<std::vector<PackInfo>>> RemoteStorage::list_packs(DriveId drive, PackId after,
                                                              std::uint32_t limit,
                                                              MonotonicTime deadline) {
  proto::StorageRequest message;
  message.set_drive(drive.value());
  message.mutable_list_packs()->set_after(after.value());
  message.mutable_list_packs()->set_limit(limit);
  auto answer = co_await ask(std::move(message), {}, deadline);
  if (!answer.ok()) co_return answer.status();
  co_return wire::packs_from_proto(answer->reply);
}

Task<Result<std::vector<FragmentInfo>>> RemoteStorage::list_fragments(DriveId drive, PackId pack,
                                                                      std::uint32_t first_row,
                                                                      std::uint32_t limit,
                                                                      FragmentDetail detail,
                                                                      MonotonicTime deadline) {
  proto::StorageRequest message;
  message.set_drive(drive.value());
  message.mutable_list_fragments()->set_pack(pack.value());
  message.mutable_list_fragments()->set_first_row(first_row);
  message.mutable_list_fragments()->set_limit(limit);
  message.mutable_list_fragments()->set_without_shapes(detail == FragmentDetail::kIndexed);
  message.mutable_list_fragments()->set_from_footers(detail == FragmentDetail::kShape);
  auto answer = co_await ask(std::move(message), {}, deadline);
  if (!answer.ok()) co_return answer.status();
  co_return wire::fragments_from_proto(pack, detail, answer->reply);
}

Task<Result<std::vector<DamagedFragment>>> RemoteStorage::damaged_fragments(
    DriveId drive, FragmentKey after, std::uint32_t limit, MonotonicTime deadline) {
  proto::StorageRequest message;
  message.set_drive(drive.value());
  proto::ListDamaged& request = *message.mutable_damaged_fragments();
  request.set_after_pack(after.pack.value());
  request.set_after_row(after.row);
  request.set_after_column(after.column);
  request.set_limit(limit);
  auto answer = co_await ask(std::move(message), {}, deadline);
  if (!answer.ok()) co_return answer.status();
  co_return wire::damaged_from_proto(answer->reply);
}

Task<Status> RemoteStorage::scrub(DriveId drive, ScrubAction action,
                                  std::uint64_t bytes_per_second, MonotonicTime deadline) {
  proto::StorageRequest message;
  message.set_drive(drive.value());
  message.mutable_scrub()->set_action(static_cast<std::uint32_t>(action));
  message.mutable_scrub()->set_bytes_per_second(bytes_per_second);
  co_return co_await tell(std::move(message), {}, deadline);
}

Task<Result<std::vector<DriveStatus>>> RemoteStorage::status(MonotonicTime deadline) {
  proto::StorageRequest message;
  message.mutable_status();
  auto answer = co_await ask(std::move(message), {}, deadline);
  if (!answer.ok()) co_return answer.status();
  co_return wire::drives_from_proto(answer->reply);
}

Task<Result<proto::CommandReply>> RemoteMetadata::execute(proto::Command command,
                                                          MonotonicTime deadline) {
  Message message{Service::kCommand, command.SerializeAsString(), {}};
  const auto answer = co_await channel_.call(std::move(message), deadline);
  if (!answer.ok()) co_return answer.status();
  proto::CommandReply reply;
  if (!reply.ParseFromString(answer->body)) co_return unreadable(channel_);
  co_return reply;
}

Task<Result<proto::QueryReply>> RemoteMetadata::query(proto::Query query, MonotonicTime deadline) {
  Message message{Service::kQuery, query.SerializeAsString(), {}};
  const auto answer = co_await channel_.call(std::move(message), deadline);
  if (!answer.ok()) co_return answer.status();
  proto::QueryReply reply;
  if (!reply.ParseFromString(answer->body)) co_return unreadable(channel_);
  co_return reply;
}

}  // namespace shoal::rpc
