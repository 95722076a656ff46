// What S3 keeps beside an object's bytes, packed: an ETag that is an MD5 as 16 bytes, common names
// and content types as one byte each. Words get numbers for good: the list only grows.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "proto/metadata.pb.h"

namespace shoal::metad {

// `birth_ns` of the inode: most objects were last modified when they were made, which then takes
// one byte. Never empty. The same object gives the same bytes.
std::string pack_object(const proto::ObjectMeta& object, std::int64_t birth_ns);
// Errors: kCorruption for bytes that pack_object does not give.
Result<proto::ObjectMeta> unpack_object(std::string_view packed, std::int64_t birth_ns);
// Whether unpack_object takes it, without the cost of making it.
bool is_packed_object(std::string_view packed);

}  // namespace shoal::metad
