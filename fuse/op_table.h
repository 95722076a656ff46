// The table of operations that libfuse calls. fuse_lowlevel.h appears only under fuse/.
#pragma once

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>

#include <cstdint>

#include "client/posix_api.h"
#include "fuse/session.h"

namespace shoal::fuse {

// Each part fills in its own operations.
void add_name_operations(fuse_lowlevel_ops& table);
void add_attribute_operations(fuse_lowlevel_ops& table);
void add_file_operations(fuse_lowlevel_ops& table);
void add_directory_operations(fuse_lowlevel_ops& table);
void add_xattr_operations(fuse_lowlevel_ops& table);

inline FuseSession& session_of(fuse_req_t request) {
  return *static_cast<FuseSession*>(fuse_req_userdata(request));
}

}  // namespace shoal::fuse
