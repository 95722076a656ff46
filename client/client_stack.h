// ClientStack: everything a door needs on one executor: a session, routing, the data path and both
// views of the store, made and torn down in order.
#pragma once

#include <memory>
#include <string>

#include "base/random.h"
#include "client/extent_reader.h"
#include "client/metadata_client.h"
#include "client/object_store.h"
#include "client/pack_writer.h"
#include "client/posix_store.h"
#include "client/storage_router.h"

namespace shoal::client {

struct ClientStackOptions {
  std::string name;  // for people: "s3 127.0.0.1:9000", "fuse /mnt"
  std::uint64_t seed = secure_random_u64();
  PackWriterLimits write_limits = {};
  ExtentReaderLimits read_limits = {};
};

class ClientStack {
 public:
  // On `executor`. `metadata` and what the factory gives outlive the stack. Errors: kUnavailable,
  // kDeadlineExceeded when metad does not answer.
  static Task<Result<std::unique_ptr<ClientStack>>> open(MetadataApi& metadata,
                                                         StorageRouter::Factory storage,
                                                         Executor& executor,
                                                         ClientStackOptions options);
  static Task<Result<std::unique_ptr<ClientStack>>> open(MetadataApi& metadata,
                                                         StorageRouter::Factory storage,
                                                         Executor& executor, std::string name,
                                                         PackWriterLimits write_limits = {});
  // Flushes what is dirty, gives the packs back and ends the session. On the executor.
  Task<Status> close();

  ObjectStore& objects() { return *objects_; }
  PosixStore& files() { return *files_; }
  MetadataClient& metadata() { return *metadata_; }
  PackWriter& writer() { return *writer_; }
  ExtentReader& reader() { return *reader_; }
  StorageRouter& router() { return *router_; }

 private:
  ClientStack(MetadataApi& metadata, StorageRouter::Factory storage, Executor& executor,
              ClientStackOptions options);
  SeededRandom random_;
  std::unique_ptr<MetadataClient> metadata_;
  std::unique_ptr<StorageRouter> router_;
  std::unique_ptr<PackWriter> writer_;
  std::unique_ptr<ExtentReader> reader_;
  std::unique_ptr<ObjectStore> objects_;
  std::unique_ptr<PosixStore> files_;
};

}  // namespace shoal::client
