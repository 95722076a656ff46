// MetadataApi: what the metadata daemon does for its clients. Commands change state: they are
// journaled, applied in order and answered once durable. Queries read what is durable. Both are
// protobuf messages (proto/metadata.proto), because the journal and the wire need them in that
// form; proto/wire turns their leaves into base types.
#pragma once

#include "base/async/task.h"
#include "base/clock.h"
#include "base/result.h"
#include "proto/metadata.pb.h"

namespace shoal {

class MetadataApi {
 public:
  virtual ~MetadataApi() = default;

  // Runs one command. The Result is an error only when no answer came (kUnavailable,
  // kDeadlineExceeded): the outcome is then unknown and the same (session, slot, sequence) may be
  // sent again, which gives the first outcome. What the command itself says is in
  // CommandReply.status. *Durable:* the command's effect, once a reply came.
  virtual Task<Result<proto::CommandReply>> execute(proto::Command command,
                                                    MonotonicTime deadline) = 0;

  // Answers one query from durable state. Errors as above; what the query itself says is in
  // QueryReply.status.
  virtual Task<Result<proto::QueryReply>> query(proto::Query query, MonotonicTime deadline) = 0;
};

}  // namespace shoal
