#include "proto/rpc/services.h"

#include "proto/storage.pb.h"
#include "proto/wire/convert.h"
#include "proto/wire/storage_convert.h"

namespace shoal::rpc {
namespace {

using proto::StorageRequest;

Task<Status> write_fragment(StorageApi* api, DriveId drive, const proto::WriteFragment* request,
                            BufferList payload, MonotonicTime deadline) {
  auto write = wire::write_fragment_from_proto(drive, *request);
  if (!write.ok()) co_return write.status();
  write->payload = std::move(payload);
  if (total_size(write->payload) != write->shape.height(write->key.column))
    co_return InvalidArgumentError("a fragment's payload is not as long as its column is high");
  co_return co_await api->write_fragment(std::move(*write), deadline);
}

Task<Status> read_fragment(StorageApi* api, DriveId drive, const proto::ReadFragment* request,
                           BufferList* payload, MonotonicTime deadline) {
  auto read = wire::read_fragment_from_proto(drive, *request);
  if (!read.ok()) co_return read.status();
  auto bytes = co_await api->read_fragment(*read, deadline);
  if (bytes.ok() && !bytes->empty()) payload->push_back(std::move(*bytes));
  co_return bytes.status();
}

Task<Status> row_directory(StorageApi* api, DriveId drive, const proto::GetRowDirectory* request,
                           proto::StorageReply* reply, MonotonicTime deadline) {
  const auto key =
      wire::fragment_key_from_proto(request->pack(), request->row(), request->column());
  if (!key.ok()) co_return key.status();
  const auto directory = co_await api->row_directory(drive, *key, deadline);
  if (directory.ok()) wire::directory_to_proto(*directory, reply);
  co_return directory.status();
}

Task<Status> damaged_fragments(StorageApi* api, DriveId drive, const proto::ListDamaged* request,
                               proto::StorageReply* reply, MonotonicTime deadline) {
  const auto after = wire::fragment_key_from_proto(request->after_pack(), request->after_row(),
                                                   request->after_column());
  if (!after.ok()) co_return after.status();
  const auto damaged = co_await api->damaged_fragments(drive, *after, request->limit(), deadline);
  if (damaged.ok()) wire::damaged_to_proto(*damaged, reply);
  co_return damaged.status();
}

Task<Status> run_storage(StorageApi* api, const StorageRequest* request, BufferList payload,
                         proto::StorageReply* reply, BufferList* reply_payload,
                         MonotonicTime deadline) {
  const DriveId drive(request->drive());
  switch (request->op_case()) {
    case StorageRequest::kWriteFragment:
      co_return co_await write_fragment(api, drive, &request->write_fragment(), std::move(payload),
                                        deadline);
    case StorageRequest::kReadFragment:
      co_return co_await read_fragment(api, drive, &request->read_fragment(), reply_payload,
                                       deadline);
    case StorageRequest::kRowShape: {
      const auto shape = co_await api->row_shape(drive, PackId(request->row_shape().pack()),
                                                 request->row_shape().row(), deadline);
      if (shape.ok()) wire::row_shape_to_proto(*shape, reply->mutable_row_shape());
      co_return shape.status();
    }
    case StorageRequest::kRowDirectory:
      co_return co_await row_directory(api, drive, &request->row_directory(), reply, deadline);
    case StorageRequest::kDamagedFragments:
      co_return co_await damaged_fragments(api, drive, &request->damaged_fragments(), reply,
                                           deadline);
    case StorageRequest::kSealPack:
      co_return co_await api->seal_pack(drive, PackId(request->seal_pack().pack()),
                                        request->seal_pack().epoch(), deadline);
    case StorageRequest::kDeletePack:
      co_return co_await api->delete_pack(drive, PackId(request->delete_pack().pack()), deadline);
    case StorageRequest::kEvictPack:
      co_return co_await api->evict_pack(drive, PackId(request->evict_pack().pack()), deadline);
    case StorageRequest::kDeleteRows: {
      const auto& rows = request->delete_rows().rows();
      std::vector<std::uint32_t> list(rows.begin(), rows.end());
      co_return co_await api->delete_rows(drive, PackId(request->delete_rows().pack()),
                                          std::move(list), deadline);
    }
    case StorageRequest::kListPacks: {
      const auto packs = co_await api->list_packs(drive, PackId(request->list_packs().after()),
                                                  request->list_packs().limit(), deadline);
      if (packs.ok()) wire::packs_to_proto(*packs, reply);
      co_return packs.status();
    }
    case StorageRequest::kListFragments: {
      const proto::ListFragments& list = request->list_fragments();
      const auto detail = list.without_shapes() ? FragmentDetail::kIndexed
                          : list.from_footers() ? FragmentDetail::kShape
                                                : FragmentDetail::kRecord;
      const auto fragments = co_await api->list_fragments(
          drive, PackId(list.pack()), list.first_row(), list.limit(), detail, deadline);
      if (fragments.ok()) wire::fragments_to_proto(*fragments, reply);
      co_return fragments.status();
    }
    case StorageRequest::kScrub: {
      const std::uint32_t action = request->scrub().action();
      if (action != static_cast<std::uint32_t>(ScrubAction::kStart) &&
          action != static_cast<std::uint32_t>(ScrubAction::kStop)) {
        co_return InvalidArgumentError("a scrub is started or stopped, nothing else");
      }
      co_return co_await api->scrub(drive, static_cast<ScrubAction>(action),
                                    request->scrub().bytes_per_second(), deadline);
    }
    case StorageRequest::kStatus: {
      const auto drives = co_await api->status(deadline);
      if (drives.ok()) wire::drives_to_proto(*drives, reply);
      co_return drives.status();
    }
    case StorageRequest::OP_NOT_SET: break;
  }
  co_return NotSupportedError("this storage daemon does not know the operation asked for");
}

Task<Result<Message>> serve_storage(StorageApi* api, Message message, MonotonicTime deadline) {
  if (message.service != Service::kStorage) co_return NotSupportedError("this is a storage daemon");
  StorageRequest request;
  if (!request.ParseFromString(message.body))
    co_return InvalidArgumentError("a storage request that cannot be read");
  proto::StorageReply reply;
  Message out{Service::kStorage, "", {}};
  const Status status = co_await run_storage(api, &request, std::move(message.payload), &reply,
                                             &out.payload, deadline);
  wire::status_to_proto(status, reply.mutable_status());
  out.body = reply.SerializeAsString();
  co_return out;
}

template <typename Reply>
Result<Message> metadata_reply(Service service, const Result<Reply>& reply) {
  if (!reply.ok()) return reply.status();
  return Message{service, reply->SerializeAsString(), {}};
}

Task<Result<Message>> serve_metadata(MetadataApi* api, Message message, MonotonicTime deadline) {
  if (message.service == Service::kCommand) {
    proto::Command command;
    if (!command.ParseFromString(message.body))
      co_return InvalidArgumentError("a command that cannot be read");
    const auto reply = co_await api->execute(std::move(command), deadline);
    co_return metadata_reply(Service::kCommand, reply);
  }
  if (message.service == Service::kQuery) {
    proto::Query query;
    if (!query.ParseFromString(message.body))
      co_return InvalidArgumentError("a query that cannot be read");
    const auto reply = co_await api->query(std::move(query), deadline);
    co_return metadata_reply(Service::kQuery, reply);
  }
  co_return NotSupportedError("this is a metadata daemon");
}

}  // namespace

RpcServer::Handler storage_service(StorageApi& api) {
  return [&api](Message message, MonotonicTime deadline) {
    return serve_storage(&api, std::move(message), deadline);
  };
}

RpcServer::Handler metadata_service(MetadataApi& api) {
  return [&api](Message message, MonotonicTime deadline) {
    return serve_metadata(&api, std::move(message), deadline);
  };
}

}  // namespace shoal::rpc
