// The code table's mappings. See status.h.
#include "base/status.h"

#include <cerrno>
#include <cstring>

namespace shoal {
namespace {

struct CodeRow {
  std::string_view name;
  int grpc;
  int err;
  std::string_view s3;
  int http;
};

constexpr CodeRow kTable[] = {
#define X(name, grpc, err, s3, http) {#name, grpc, err, s3, http},
    SHOAL_STATUS_CODES(X)
#undef X
};

const CodeRow& row(StatusCode code) { return kTable[static_cast<std::size_t>(code)]; }

}  // namespace

const int kStatusCodeCount = static_cast<int>(std::size(kTable));

const std::string& Status::message() const {
  static const std::string empty;
  return state_ ? state_->message : empty;
}

std::string Status::to_string() const {
  std::string text(status_code_name(code()));
  if (!message().empty()) text.append(": ").append(message());
  return text;
}

Status Status::with_context(std::string_view context) const {
  if (ok()) return *this;
  std::string text(context);
  text.append(": ").append(message());
  return Status(code(), std::move(text));
}

std::string_view status_code_name(StatusCode code) { return row(code).name; }
int status_code_to_grpc(StatusCode code) { return row(code).grpc; }
int status_code_to_errno(StatusCode code) { return row(code).err; }
std::string_view status_code_to_s3(StatusCode code) { return row(code).s3; }
int status_code_to_http(StatusCode code) { return row(code).http; }

StatusCode status_code_from_errno(int err) {
  switch (err) {
    case EAGAIN: return StatusCode::kWouldBlock;
    case EIO: return StatusCode::kIoError;
    case EPERM: return StatusCode::kNotPermitted;
    case ENOENT: return StatusCode::kNotFound;
    case EINVAL: return StatusCode::kInvalidArgument;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE: return StatusCode::kUnavailable;
    default: break;
  }
  for (std::size_t i = 0; i < std::size(kTable); ++i) {
    if (kTable[i].err == err) return static_cast<StatusCode>(i);
  }
  return StatusCode::kIoError;
}

Status ErrnoError(int err, std::string_view what) {
  char buffer[128];
  std::string text(what);
  text.append(": ").append(strerror_r(err, buffer, sizeof buffer));
  return Status(status_code_from_errno(err), std::move(text));
}

StatusCode status_code_from_wire(int value) {
  return value >= 0 && value < kStatusCodeCount ? static_cast<StatusCode>(value)
                                                : StatusCode::kInternal;
}

}  // namespace shoal
