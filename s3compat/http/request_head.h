// Parses the head of a request. The one place that includes Boost.Beast, which is heavy.
#pragma once

#include <string_view>

#include "s3compat/http/http_server.h"

namespace shoal::s3compat {

// `head` ends with the empty line. Returns 0, or the HTTP status to refuse it with.
int parse_head(std::string_view head, HttpRequest* request);
std::string_view reason_of(int status);

}  // namespace shoal::s3compat
