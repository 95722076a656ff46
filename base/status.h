// Status: the outcome of an operation that may fail, and the one table of codes. Each code maps to
// a gRPC status, an errno and an S3 error; the three mappings are total
// (tests/unit/base/status_test.cc walks the table). A message names the thing, the cause and what
// to do. Trouble that is expected is a Status; a bug is a CHECK.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace shoal {

// name, gRPC code, errno, S3 error code, HTTP status
#define SHOAL_STATUS_CODES(X)                                  \
  X(Ok, 0, 0, "", 200)                                         \
  X(InvalidArgument, 3, EINVAL, "InvalidArgument", 400)        \
  X(NotFound, 5, ENOENT, "NoSuchKey", 404)                     \
  X(AlreadyExists, 6, EEXIST, "BucketAlreadyOwnedByYou", 409)  \
  X(PermissionDenied, 7, EACCES, "AccessDenied", 403)          \
  X(NotPermitted, 7, EPERM, "AccessDenied", 403)               \
  X(Unauthenticated, 16, EACCES, "AccessDenied", 403)          \
  X(NotDirectory, 9, ENOTDIR, "InvalidRequest", 400)           \
  X(IsDirectory, 9, EISDIR, "InvalidRequest", 400)             \
  X(NotEmpty, 9, ENOTEMPTY, "BucketNotEmpty", 409)             \
  X(NameTooLong, 3, ENAMETOOLONG, "KeyTooLongError", 400)      \
  X(TooLarge, 11, EFBIG, "EntityTooLarge", 400)                \
  X(NoSpace, 8, ENOSPC, "InsufficientCapacity", 507)           \
  X(ReadOnly, 9, EROFS, "AccessDenied", 403)                   \
  X(Busy, 9, EBUSY, "OperationAborted", 409)                   \
  X(TooManyLinks, 9, EMLINK, "InvalidRequest", 400)            \
  X(CrossDevice, 9, EXDEV, "InvalidRequest", 400)              \
  X(SymlinkLoop, 9, ELOOP, "InvalidRequest", 400)              \
  X(NoData, 5, ENODATA, "NoSuchKey", 404)                      \
  X(OutOfRange, 11, ERANGE, "InvalidRange", 416)               \
  X(WouldBlock, 14, EAGAIN, "SlowDown", 503)                   \
  X(StaleHandle, 9, ESTALE, "NoSuchKey", 404)                  \
  X(NotSupported, 12, EOPNOTSUPP, "NotImplemented", 501)       \
  X(Unavailable, 14, EIO, "ServiceUnavailable", 503)           \
  X(DeadlineExceeded, 4, ETIMEDOUT, "ServiceUnavailable", 503) \
  X(Cancelled, 1, ECANCELED, "RequestTimeout", 400)            \
  X(Aborted, 10, EAGAIN, "OperationAborted", 409)              \
  X(Fenced, 9, EIO, "ServiceUnavailable", 503)                 \
  X(Corruption, 15, EIO, "InternalError", 500)                 \
  X(IoError, 15, EIO, "InternalError", 500)                    \
  X(OutOfMemory, 8, ENOMEM, "SlowDown", 503)                   \
  X(Internal, 13, EIO, "InternalError", 500)                   \
  X(PreconditionFailed, 9, EAGAIN, "PreconditionFailed", 412)  \
  X(NotModified, 9, EAGAIN, "NotModified", 304)                \
  X(NoSuchBucket, 5, ENOENT, "NoSuchBucket", 404)              \
  X(NoSuchUpload, 5, ENOENT, "NoSuchUpload", 404)              \
  X(InvalidPart, 3, EINVAL, "InvalidPart", 400)                \
  X(InvalidPartOrder, 3, EINVAL, "InvalidPartOrder", 400)      \
  X(EntityTooSmall, 3, EINVAL, "EntityTooSmall", 400)          \
  X(BadDigest, 3, EIO, "BadDigest", 400)

enum class StatusCode : std::uint8_t {
#define X(name, grpc, err, s3, http) k##name,
  SHOAL_STATUS_CODES(X)
#undef X
};

// How many codes there are; wire values at or above it are from a newer peer and read as kInternal.
extern const int kStatusCodeCount;

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message)
      : state_(code == StatusCode::kOk ? nullptr
                                       : std::make_shared<State>(code, std::move(message))) {}

  bool ok() const { return state_ == nullptr; }
  StatusCode code() const { return state_ ? state_->code : StatusCode::kOk; }
  const std::string& message() const;
  // "NotFound: bucket photos does not exist"
  std::string to_string() const;
  // The same code, with `context` put before the message ("opening segment 7: ...").
  Status with_context(std::string_view context) const;

  friend bool operator==(const Status& a, const Status& b) {
    return a.code() == b.code() && a.message() == b.message();
  }

 private:
  struct State {
    State(StatusCode c, std::string m) : code(c), message(std::move(m)) {}
    StatusCode code;
    std::string message;
  };
  std::shared_ptr<const State> state_;  // null means OK: one pointer to pass, nothing to allocate
};

// Constructors by name: NotFoundError("bucket photos does not exist").
#define X(name, grpc, err, s3, http)                        \
  inline Status name##Error(std::string message) {          \
    return Status(StatusCode::k##name, std::move(message)); \
  }
SHOAL_STATUS_CODES(X)
#undef X

inline Status OkStatus() { return Status(); }
inline Status IoError(std::string message) { return IoErrorError(std::move(message)); }

std::string_view status_code_name(StatusCode code);
int status_code_to_grpc(StatusCode code);
int status_code_to_errno(StatusCode code);
// The S3 error code ("NoSuchKey") and HTTP status of a failure. Source: AWS "Error responses", List
// of error codes.
std::string_view status_code_to_s3(StatusCode code);
int status_code_to_http(StatusCode code);
// The inverse of status_code_to_errno for what the kernel returns; unknown values give kIoError.
StatusCode status_code_from_errno(int err);
// "pwrite of segment 7: No space left on device" with the matching code. `err` is positive.
Status ErrnoError(int err, std::string_view what);
// A code that came over the wire: out-of-range values give kInternal.
StatusCode status_code_from_wire(int value);

}  // namespace shoal

#define SHOAL_CONCAT_INNER(a, b) a##b
#define SHOAL_CONCAT(a, b) SHOAL_CONCAT_INNER(a, b)

// In a function that returns Status or Result.
#define RETURN_IF_ERROR(expr)                                  \
  do {                                                         \
    ::shoal::Status status_macro_value_ = (expr);              \
    if (!status_macro_value_.ok()) return status_macro_value_; \
  } while (false)
#define ASSIGN_OR_RETURN(lhs, expr) \
  SHOAL_ASSIGN_OR_RETURN_IMPL(SHOAL_CONCAT(result_macro_value_, __LINE__), lhs, expr, return )
// The same two in a coroutine, where `return` is spelled `co_return`.
#define CO_RETURN_IF_ERROR(expr)                                  \
  do {                                                            \
    ::shoal::Status status_macro_value_ = (expr);                 \
    if (!status_macro_value_.ok()) co_return status_macro_value_; \
  } while (false)
#define CO_ASSIGN_OR_RETURN(lhs, expr) \
  SHOAL_ASSIGN_OR_RETURN_IMPL(SHOAL_CONCAT(result_macro_value_, __LINE__), lhs, expr, co_return )
#define SHOAL_ASSIGN_OR_RETURN_IMPL(result, lhs, expr, ret) \
  auto result = (expr);                                     \
  if (!result.ok()) ret std::move(result).status();         \
  lhs = std::move(result).value()
