#include "client/remote_cluster.h"

namespace shoal::client {

RemoteCluster::RemoteCluster(Executor& executor, const std::string& metad_address, std::string name)
    : metad_channel_(executor, {metad_address, name, ""}),
      metadata_(metad_channel_),
      nodes_(executor, std::move(name)) {}

Task<void> RemoteCluster::close() {
  co_await nodes_.close();
  co_await metad_channel_.close();
}

StorageRouter::Factory RemoteCluster::storage_factory() {
  return [this](const DriveInfo& drive) -> Result<StorageApi*> {
    if (drive.address.empty())
      return InvalidArgumentError("drive " + drive.id.to_string() +
                                  " is served inside another process");
    return &storage(drive.address);
  };
}

Status run_client(std::string loop_name, const std::string& metad_address, const std::string& name,
                  const std::function<Status(EventLoop& loop, ClientStack& stack)>& work,
                  PackWriterLimits writer) {
  ASSIGN_OR_RETURN(const auto loop, EventLoop::create(std::move(loop_name)));
  loop->start();
  RemoteCluster cluster(*loop, metad_address, name);
  auto opened = sync_wait(
      *loop, ClientStack::open(cluster.metadata(), cluster.storage_factory(), *loop, name, writer));
  Status status = opened.status();
  if (opened.ok()) {
    status = work(*loop, **opened);
    const Status closed = sync_wait(*loop, (*opened)->close());
    if (status.ok()) status = closed;
    opened->reset();
  }
  sync_wait(*loop, cluster.close());
  loop->stop();
  loop->join();
  return status;
}

}  // namespace shoal::client
