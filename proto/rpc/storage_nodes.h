// StorageNodes: one connection to each storage daemon that is asked for. Belongs to one executor.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <memory>
#include <string>

#include "proto/rpc/remote.h"

namespace shoal::rpc {

class StorageNodes {
 public:
  // `name` is for the daemons' logs.
  StorageNodes(Executor& executor, std::string name)
      : executor_(executor), name_(std::move(name)) {}
  // On the executor, before it is destroyed.
  Task<void> close() {
    for (const auto& [address, node] : nodes_) co_await node->channel.close();
  }

  // The daemon at `address`, which must be of this cluster. Valid as long as this object.
  StorageApi& at(const std::string& address, const std::string& cluster_uuid) {
    std::unique_ptr<Node>& node = nodes_[address];
    if (node == nullptr)
      node = std::make_unique<Node>(executor_, ChannelOptions{address, name_, cluster_uuid});
    return node->storage;
  }

 private:
  struct Node {
    Node(Executor& executor, ChannelOptions options)
        : channel(executor, std::move(options)), storage(channel) {}
    RpcChannel channel;
    RemoteStorage storage;
  };
  Executor& executor_;
  const std::string name_;
  absl::flat_hash_map<std::string, std::unique_ptr<Node>> nodes_;
};

}  // namespace shoal::rpc
