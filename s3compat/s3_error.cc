#include "s3compat/s3_error.h"

namespace shoal::s3compat {

S3Error to_s3_error(const Status& status) {
  return {status_code_to_http(status.code()), std::string(status_code_to_s3(status.code())),
          status.message()};
}

}  // namespace shoal::s3compat
