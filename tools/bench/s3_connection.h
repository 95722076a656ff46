// One keep-alive connection of the load: sends a request, takes the response apart and verifies its
// body.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace shoal::tools {

// The bytes of object n: a window into a fixed random ring that starts at a place given by n.
class ObjectPattern {
 public:
  ObjectPattern();
  // A contiguous run of object `object` from `offset`, at most `wanted` bytes long and never empty.
  std::string_view run(std::uint64_t object, std::uint64_t offset, std::uint64_t wanted) const;

 private:
  std::string ring_;
};

struct S3Request {
  std::string head;       // request line and headers, ends with the empty line
  bool has_body = false;  // the pattern of `object`, `body_bytes` long
  std::uint64_t object = 0;
  std::uint64_t body_bytes = 0;
  bool verify = false;  // the response's body must be the pattern of `object`, `expect_bytes` long
  std::uint64_t expect_bytes = 0;
  bool head_only = false;  // a HEAD: no body follows
  std::string text_body;   // instead of the pattern
};

class S3Connection {
 public:
  enum class Progress { kWaiting, kDone, kBroken };

  explicit S3Connection(const ObjectPattern& pattern) : pattern_(pattern) {}
  ~S3Connection();
  S3Connection(const S3Connection&) = delete;
  S3Connection& operator=(const S3Connection&) = delete;

  // Non-blocking connect to an IPv4 address; false on failure.
  bool connect(const std::string& address, std::uint16_t port);
  int fd() const { return fd_; }

  void begin(S3Request request);
  // Sends what can be sent. kDone: all of it.
  Progress send();
  // Receives what is there. kDone: a whole response, described by the accessors below.
  Progress receive();

  int status() const { return status_; }
  bool mismatch() const { return mismatch_; }
  const std::string& error_text() const { return error_text_; }
  const std::string& text() const { return text_; }
  std::uint64_t body_received() const { return body_received_; }
  bool keep_alive() const { return keep_alive_; }
  const S3Request& request() const { return request_; }
  std::chrono::steady_clock::time_point started() const { return started_; }

 private:
  bool parse_head(std::size_t end);
  bool take_body(const char* data, std::size_t size);
  bool take_chunked(const char* data, std::size_t size);
  void take_bytes(const char* data, std::size_t size);

  const ObjectPattern& pattern_;
  int fd_ = -1;
  S3Request request_;
  std::chrono::steady_clock::time_point started_;
  std::size_t head_sent_ = 0;
  std::uint64_t body_sent_ = 0;
  std::string input_;  // head of the response, until it is whole
  bool in_body_ = false;
  int status_ = 0;
  bool keep_alive_ = true;
  bool chunked_ = false;
  std::uint64_t content_length_ = 0;
  std::uint64_t body_received_ = 0;
  std::uint64_t chunk_left_ = 0;
  enum class ChunkState { kSize, kData, kDataEnd, kTrailer, kEnd } chunk_state_ = ChunkState::kSize;
  std::string chunk_line_;
  bool mismatch_ = false;
  std::string text_;        // the body of a response that is not verified, its first 64 KiB
  std::string error_text_;  // status line and text of a failure
};

}  // namespace shoal::tools
