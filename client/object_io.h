// Bodies of objects on their way in and out. Belong to the executor of the store that made them.
#pragma once

#include <memory>

#include "base/extent.h"
#include "client/extent_reader.h"
#include "client/metadata_client.h"
#include "client/object_api.h"
#include "client/pack_writer.h"

namespace shoal::client {

// Pieces of one body under way at once.
inline constexpr std::uint64_t kPiecesInFlight = 8;

std::unique_ptr<ObjectWriter> make_object_writer(MetadataClient& metadata, PackWriter& writer);

// `extents` are those that metad sent first; with `more`, the rest is fetched on the way. A body of
// more than one piece holds its inode open, so that a deletion does not take the bytes away under
// the reader.
Task<std::unique_ptr<ObjectReader>> make_object_reader(MetadataClient& metadata,
                                                       ExtentReader& reader,
                                                       proto::Attributes attributes,
                                                       ByteRange range, ExtentList extents,
                                                       bool more);

}  // namespace shoal::client
