#include "client/client_stack.h"

namespace shoal::client {

ClientStack::ClientStack(MetadataApi& metadata, StorageRouter::Factory storage, Executor& executor,
                         ClientStackOptions options)
    : random_(options.seed) {
  MetadataClientOptions session{metadata, executor, random_, std::move(options.name)};
  metadata_ = make_metadata_client(std::move(session));
  router_ = std::make_unique<StorageRouter>(executor, std::move(storage));
  writer_ = make_pack_writer(
      PackWriterOptions{*metadata_, *router_, executor, random_, options.write_limits});
  reader_ =
      make_extent_reader(ExtentReaderOptions{*metadata_, *router_, executor, options.read_limits});
  objects_ = std::make_unique<ObjectStore>(*metadata_, *writer_, *reader_);
  files_ = std::make_unique<PosixStore>(*metadata_, *writer_, *reader_, *router_, executor);
}

Task<Result<std::unique_ptr<ClientStack>>> ClientStack::open(MetadataApi& metadata,
                                                             StorageRouter::Factory storage,
                                                             Executor& executor, std::string name,
                                                             PackWriterLimits write_limits) {
  ClientStackOptions options;
  options.name = std::move(name);
  options.write_limits = write_limits;
  if (write_limits.reclaiming) {  // a worker's
    options.read_limits.background = true;
    options.read_limits.hedge_floor = kBackgroundPatience;
  }
  co_return co_await open(metadata, std::move(storage), executor, std::move(options));
}

Task<Result<std::unique_ptr<ClientStack>>> ClientStack::open(MetadataApi& metadata,
                                                             StorageRouter::Factory storage,
                                                             Executor& executor,
                                                             ClientStackOptions options) {
  std::unique_ptr<ClientStack> stack(
      new ClientStack(metadata, std::move(storage), executor, std::move(options)));
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
