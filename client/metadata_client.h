// MetadataClient: a session with metad. It hands out slots and sequences, sends a command again
// with the same ones until an answer comes or the deadline has passed (exactly once), keeps the
// session alive, opens a new one when metad has closed it, and keeps the newest cluster map.
// Belongs to one executor.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/async/task.h"
#include "base/clock.h"
#include "base/cluster_map.h"
#include "base/ids.h"
#include "base/random.h"
#include "base/result.h"
#include "proto/metadata.pb.h"
#include "proto/metadata_api.h"

namespace shoal::client {

class MetadataClient {
 public:
  virtual ~MetadataClient() = default;

  // Opens the session and fetches the cluster map.
  virtual Task<Status> connect() = 0;
  // Ends the keep-alive and closes the session.
  virtual Task<Status> close() = 0;

  // Runs a command whose op is filled in; session, slot and sequence are set here. A status other
  // than OK in the reply comes back as the Result's status. Waits for a free slot when all are in
  // use.
  virtual Task<Result<proto::CommandReply>> execute(proto::Command command) = 0;
  virtual Task<Result<proto::QueryReply>> query(proto::Query query) = 0;

  virtual SessionId session() const = 0;
  // Grows whenever a new session had to be opened: what belonged to the old one (pack leases, open
  // files) is void.
  virtual std::uint64_t session_generation() const = 0;
  // The newest map known; never null after connect().
  virtual std::shared_ptr<const ClusterMap> cluster_map() const = 0;
  // Calls `listener` whenever a newer map has come, as long as `owner` lives.
  virtual void on_new_map(std::weak_ptr<void> owner, std::function<void()> listener) {
    (void)owner;
    (void)listener;
  }
  // Fetches a newer map if there is one.
  virtual Task<Status> refresh_cluster_map() = 0;
};

struct MetadataClientOptions {
  MetadataApi& api;
  Executor& executor;
  Random& random;
  std::string client_name;  // for people: "s3 127.0.0.1:9000", "fuse /mnt"
  std::uint32_t slot_count = 256;
  Duration deadline = std::chrono::seconds(30);  // of one execute() or query() in all
};
// Belongs to options.executor. close() must have returned before it is destroyed, unless connect()
// never succeeded.
std::unique_ptr<MetadataClient> make_metadata_client(MetadataClientOptions options);

}  // namespace shoal::client
