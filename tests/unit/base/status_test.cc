// The table of codes is whole, and what a Status and a Result promise.
#include "base/status.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <set>

#include "base/result.h"

namespace shoal {
namespace {

std::vector<StatusCode> every_code() {
  std::vector<StatusCode> codes;
  for (int i = 0; i < kStatusCodeCount; ++i) codes.push_back(static_cast<StatusCode>(i));
  return codes;
}

TEST(StatusTable, EveryCodeHasAllItsMappings) {
  std::set<std::string_view> names;
  for (const StatusCode code : every_code()) {
    const std::string_view name = status_code_name(code);
    EXPECT_FALSE(name.empty());
    EXPECT_TRUE(names.insert(name).second) << name;
    if (code == StatusCode::kOk) continue;
    EXPECT_GE(status_code_to_grpc(code), 1) << name;
    EXPECT_LE(status_code_to_grpc(code), 16) << name;
    EXPECT_GT(status_code_to_errno(code), 0) << name;
    EXPECT_EQ(std::string_view(strerror(status_code_to_errno(code))).find("Unknown"),
              std::string_view::npos)
        << name;
    EXPECT_FALSE(status_code_to_s3(code).empty()) << name;
    const int http = status_code_to_http(code);
    EXPECT_TRUE(http == 304 || (http >= 400 && http <= 599)) << name;
  }
  EXPECT_EQ(status_code_to_grpc(StatusCode::kOk), 0);
  EXPECT_EQ(status_code_to_errno(StatusCode::kOk), 0);
  EXPECT_EQ(status_code_to_http(StatusCode::kOk), 200);
}

// The numbers go over the wire and into journals: a code is added at the end and never moved.
TEST(StatusTable, NumbersStay) {
  EXPECT_EQ(static_cast<int>(StatusCode::kOk), 0);
  EXPECT_EQ(static_cast<int>(StatusCode::kNotFound), 2);
  EXPECT_EQ(static_cast<int>(StatusCode::kNoSpace), 12);
  EXPECT_EQ(static_cast<int>(StatusCode::kUnavailable), 23);
  EXPECT_EQ(static_cast<int>(StatusCode::kInternal), 31);
  EXPECT_EQ(static_cast<int>(StatusCode::kBadDigest), 39);
  EXPECT_GE(kStatusCodeCount, 40);
}

TEST(StatusTable, AnErrnoThatComesFromTheKernelComesBackAsItself) {
  for (const int err :
       {EINVAL, ENOENT, EEXIST,     EACCES,    EPERM,     ENOTDIR, EISDIR, ENOTEMPTY, ENAMETOOLONG,
        EFBIG,  ENOSPC, EROFS,      EBUSY,     EMLINK,    EXDEV,   ELOOP,  ENODATA,   ERANGE,
        EAGAIN, ESTALE, EOPNOTSUPP, ETIMEDOUT, ECANCELED, ENOMEM,  EIO})
    EXPECT_EQ(status_code_to_errno(status_code_from_errno(err)), err) << strerror(err);
  EXPECT_EQ(status_code_from_errno(EAGAIN), StatusCode::kWouldBlock);
  EXPECT_EQ(status_code_from_errno(ENOENT), StatusCode::kNotFound);
  EXPECT_EQ(status_code_from_errno(EIO), StatusCode::kIoError);
  EXPECT_EQ(status_code_from_errno(ECONNRESET), StatusCode::kUnavailable);
  EXPECT_EQ(status_code_from_errno(99'999), StatusCode::kIoError);
}

TEST(StatusTable, ACodeOfANewerPeerIsInternal) {
  for (const StatusCode code : every_code())
    EXPECT_EQ(status_code_from_wire(static_cast<int>(code)), code);
  EXPECT_EQ(status_code_from_wire(kStatusCodeCount), StatusCode::kInternal);
  EXPECT_EQ(status_code_from_wire(-1), StatusCode::kInternal);
  EXPECT_EQ(status_code_from_wire(INT32_MAX), StatusCode::kInternal);
}

TEST(Status, OkIsNothing) {
  const Status ok;
  EXPECT_TRUE(ok.ok());
  EXPECT_EQ(ok.code(), StatusCode::kOk);
  EXPECT_EQ(ok.message(), "");
  EXPECT_EQ(ok.to_string(), "Ok");
  EXPECT_EQ(ok, OkStatus());
  EXPECT_TRUE(ok.with_context("opening").ok());
  EXPECT_TRUE(Status(StatusCode::kOk, "dropped").ok());
}

TEST(Status, TellsItsCodeAndItsCause) {
  const Status status = NotFoundError("bucket photos does not exist");
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(status.to_string(), "NotFound: bucket photos does not exist");
  const Status outer = status.with_context("listing");
  EXPECT_EQ(outer.code(), StatusCode::kNotFound);
  EXPECT_EQ(outer.message(), "listing: bucket photos does not exist");
  EXPECT_EQ(status, NotFoundError("bucket photos does not exist"));
  EXPECT_FALSE(status == outer);
  EXPECT_FALSE(status == NoSuchBucketError("bucket photos does not exist"));
  EXPECT_EQ(IoError("x").code(), StatusCode::kIoError);
}

TEST(Status, AnErrnoIsSpelledOut) {
  const Status status = ErrnoError(ENOSPC, "pwrite of segment 7");
  EXPECT_EQ(status.code(), StatusCode::kNoSpace);
  EXPECT_EQ(status.message(), "pwrite of segment 7: No space left on device");
}

Result<int> half_of(int number) {
  if (number % 2 != 0) return InvalidArgumentError("odd");
  return number / 2;
}

Result<int> quarter_of(int number) {
  ASSIGN_OR_RETURN(const int half, half_of(number));
  ASSIGN_OR_RETURN(const int quarter, half_of(half));
  return quarter;
}

Status check_quarter(int number) {
  RETURN_IF_ERROR(quarter_of(number).status());
  return OkStatus();
}

TEST(Result, IsAValueOrAStatus) {
  EXPECT_EQ(*quarter_of(8), 2);
  EXPECT_TRUE(quarter_of(8).status().ok());
  EXPECT_EQ(quarter_of(6).status(), InvalidArgumentError("odd"));
  EXPECT_TRUE(check_quarter(8).ok());
  EXPECT_EQ(check_quarter(7).code(), StatusCode::kInvalidArgument);
  Result<std::unique_ptr<int>> moved(std::make_unique<int>(5));
  const std::unique_ptr<int> taken = std::move(moved).value();
  EXPECT_EQ(*taken, 5);
}

TEST(ResultDeathTest, AValueThatIsNotThereIsABug) {
  const Result<int> failed = half_of(1);
  EXPECT_DEATH((void)failed.value(), "CHECK failed");
  EXPECT_DEATH((void)Result<int>(OkStatus()), "CHECK failed");
}

}  // namespace
}  // namespace shoal
