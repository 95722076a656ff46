// The other end of remote.h: requests from the wire become calls of an API.
#pragma once

#include "proto/metadata_api.h"
#include "proto/rpc/server.h"
#include "proto/storage_api.h"

namespace shoal::rpc {

// `api` outlives the server and belongs to its executor. Requests that cannot be read are refused
// with kInvalidArgument, those of another service with kNotSupported.
RpcServer::Handler storage_service(StorageApi& api);
RpcServer::Handler metadata_service(MetadataApi& api);

}  // namespace shoal::rpc
