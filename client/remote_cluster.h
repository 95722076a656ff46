// RemoteCluster: the daemons of a cluster as a client on one executor reaches them: one connection
// to metad, one to each storage daemon when it is first needed.
#pragma once

#include <functional>
#include <string>

#include "base/io/event_loop.h"
#include "client/client_stack.h"
#include "proto/rpc/storage_nodes.h"

namespace shoal::client {

class RemoteCluster {
 public:
  // `name` is for the daemons' logs.
  RemoteCluster(Executor& executor, const std::string& metad_address, std::string name);
  // Ends all connections; on the executor, before it is destroyed.
  Task<void> close();

  MetadataApi& metadata() { return metadata_; }
  // Once metad has answered, so that the cluster is known. The object must outlive the factory.
  StorageRouter::Factory storage_factory();
  // The storage daemon at this address.
  StorageApi& storage(const std::string& address) {
    return nodes_.at(address, metad_channel_.cluster_uuid());
  }

 private:
  rpc::RpcChannel metad_channel_;
  rpc::RemoteMetadata metadata_;
  rpc::StorageNodes nodes_;
};

// A program that is a client of a cluster: starts a loop called `loop_name`, opens a session with
// metad as `name`, runs `work` on the calling thread and closes everything. Errors: those of
// ClientStack::open, of `work` and of closing.
Status run_client(std::string loop_name, const std::string& metad_address, const std::string& name,
                  const std::function<Status(EventLoop& loop, ClientStack& stack)>& work,
                  PackWriterLimits writer = {});

}  // namespace shoal::client
