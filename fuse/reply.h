// From Status and Attributes to what the kernel understands.
#pragma once

#include <sys/stat.h>

#include "base/status.h"
#include "fuse/op_table.h"

namespace shoal::fuse {

// Answers with errno 0 or the errno of `status`. Errors that mean trouble in the store, not in the
// call, are logged.
void reply_status(fuse_req_t request, const Status& status);

struct stat to_stat(const client::Attributes& attributes);
fuse_entry_param to_entry(const client::Attributes& attributes);
// The type of a mode_t (S_IFREG, ...) and back.
proto::FileType type_of_mode(mode_t mode);
mode_t mode_of_type(proto::FileType type);

void reply_attributes(fuse_req_t request, const Result<client::Attributes>& result);
void reply_entry(fuse_req_t request, const Result<client::Attributes>& result);

}  // namespace shoal::fuse
