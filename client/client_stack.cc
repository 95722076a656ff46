#include "client/client_stack.h"

namespace shoal::client {

ClientStack::ClientStack(MetadataApi& metadata, StorageRouter::Factory storage, Executor& executor,
                         std::string name, PackWriterLimits writer)
    : random_(secure_random_u64()) {
  MetadataClientOptions options{metadata, executor, random_, std::move(name)};
  metadata_ = make_metadata_client(std::move(options));
  router_ = std::make_unique<StorageRouter>(executor, std::move(storage));
  writer_ = make_pack_writer(PackWriterOptions{*metadata_, *router_, executor, random_, writer});
  reader_ = make_extent_reader(ExtentReaderOptions{*metadata_, *router_, executor, {}});
  objects_ = std::make_unique<ObjectStore>(*metadata_, *writer_, *reader_);
  files_ = std::make_unique<PosixStore>(*metadata_, *writer_, *reader_, *router_, executor);
}

Task<Result<std::unique_ptr<ClientStack>>> ClientStack::open(MetadataApi& metadata,
                                                             StorageRouter::Factory storage,
                                                             Executor& executor, std::string name,
                                                             PackWriterLimits writer) {
  std::unique_ptr<ClientStack> stack(
      new ClientStack(metadata, std::move(storage), executor, std::move(name), writer));
  CO_RETURN_IF_ERROR(co_await stack->metadata_->connect());
  co_return stack;
}

Task<Status> ClientStack::close() {
  Status first = co_await files_->flush_all();
  co_await files_->close();
  const Status packs = co_await writer_->close();
  if (first.ok()) first = packs;
  const Status session = co_await metadata_->close();
  if (first.ok()) first = session;
  co_return first;
}

}  // namespace shoal::client
