// Which names S3 allows for buckets. Source: AWS "General purpose bucket naming rules".
#pragma once

#include <string_view>

namespace shoal {

// 3 to 63 of a-z, 0-9, '.' and '-'; each part between dots begins and ends with a letter or digit;
// not in the form of an IPv4 address.
bool is_bucket_name(std::string_view name);

}  // namespace shoal
