// Router: which operation a request is. Source: AWS S3 API reference, request syntax of each
// operation.
#pragma once

#include "s3compat/handlers/request.h"

namespace shoal::s3compat {

using Handler = Task<HttpResponse> (*)(S3Request* request);
struct Route {
  Handler handler = nullptr;  // null: not there
  std::string operation;      // its name, also when it is not there
};
Route route(const S3Request& request);

}  // namespace shoal::s3compat
