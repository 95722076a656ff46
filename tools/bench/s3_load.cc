#include "tools/bench/s3_load.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <fstream>
#include <memory>
#include <optional>
#include <vector>

#include "base/encoding.h"
#include "base/random.h"
#include "tools/bench/s3_connection.h"
#include "tools/bench/s3_signer.h"

namespace shoal::tools {
namespace {

using SteadyClock = std::chrono::steady_clock;

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::string key_of(const S3LoadOptions& options, std::uint64_t object) {
  // Ten thousand keys to a prefix, as programs that write many objects lay them out.
  return options.prefix + std::to_string(object / 10'000) + "/" + std::to_string(object);
}

// Makes requests, one after another, and counts their outcomes.
class Workload {
 public:
  explicit Workload(const S3LoadOptions& options)
      : options_(options), signer_(options_.endpoint), random_(1) {}

  S3Request next() {
    switch (options_.operation) {
      case S3Operation::kPut: return put(options_.first_object + issued_++);
      case S3Operation::kGet: return get(pick());
      case S3Operation::kHead: return head(pick());
      case S3Operation::kDelete: return remove(issued_++);
      case S3Operation::kList: return list();
      case S3Operation::kMixed: break;
    }
    // 60 % GET, 25 % PUT over what is there, 10 % HEAD, 5 % LIST.
    const std::uint64_t dice = random_.below(100);
    if (dice < 60) return get(pick());
    if (dice < 85) return put(pick());
    if (dice < 95) return head(pick());
    return list();
  }
  bool exhausted() const {
    if (options_.operation == S3Operation::kDelete && issued_ >= options_.object_count) return true;
    return options_.request_limit > 0 && started_ >= options_.request_limit;
  }
  void count_start() { ++started_; }

 private:
  std::uint64_t pick() { return random_.below(options_.object_count); }

  S3Request put(std::uint64_t object) {
    S3Request request;
    request.has_body = true;
    request.object = object;
    request.body_bytes = options_.size_bytes;
    std::string hash = "UNSIGNED-PAYLOAD";
    if (options_.sign_payload) {
      std::string body;
      while (body.size() < options_.size_bytes) {
        body.append(pattern_.run(object, body.size(), options_.size_bytes - body.size()));
      }
      hash = sha256_hex(body);
    }
    build("PUT", key_of(options_, object), "", hash, options_.size_bytes, &request.head);
    return request;
  }
  S3Request get(std::uint64_t object) {
    S3Request request;
    request.object = object;
    request.verify = options_.verify;
    request.expect_bytes = options_.size_bytes;
    build("GET", key_of(options_, object), "", "UNSIGNED-PAYLOAD", std::nullopt, &request.head);
    return request;
  }
  S3Request head(std::uint64_t object) {
    S3Request request;
    request.head_only = true;
    build("HEAD", key_of(options_, object), "", "UNSIGNED-PAYLOAD", std::nullopt, &request.head);
    return request;
  }
  S3Request remove(std::uint64_t object) {
    S3Request request;
    build("DELETE", key_of(options_, object), "", "UNSIGNED-PAYLOAD", std::nullopt, &request.head);
    return request;
  }
  S3Request list() {
    S3Request request;
    const std::string prefix = options_.prefix + std::to_string(pick() / 10'000) + "/";
    build("GET", "", "list-type=2&max-keys=1000&prefix=" + percent_encode(prefix, false),
          "UNSIGNED-PAYLOAD", std::nullopt, &request.head);
    return request;
  }
  void build(std::string_view method, const std::string& key, const std::string& query,
             std::string_view hash, std::optional<std::uint64_t> length, std::string* head) {
    const std::string path = "/" + options_.bucket + (key.empty() ? "" : "/" + key);
    head->reserve(512);
    head->append(method).append(" ").append(path);
    if (!query.empty()) head->append("?").append(query);
    head->append(" HTTP/1.1\r\n");
    signer_.append_headers(method, path, query, hash, head);
    if (length) head->append("Content-Length: ").append(std::to_string(*length)).append("\r\n");
    head->append("\r\n");
  }

  const S3LoadOptions& options_;
  S3Signer signer_;
  ObjectPattern pattern_;
  SeededRandom random_;
  std::uint64_t issued_ = 0;
  std::uint64_t started_ = 0;
};

// The loop over all connections.
class LoadLoop {
 public:
  explicit LoadLoop(const S3LoadOptions& options) : options_(options), workload_(options) {}
  ~LoadLoop() {
    if (epoll_ >= 0) close(epoll_);
  }

  Result<LoadReport> run() {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) return ErrnoError(errno, "epoll_create1");
    const double cpu_before = cpu_seconds();
    const auto begin = SteadyClock::now();
    deadline_ = begin + std::chrono::nanoseconds(static_cast<std::int64_t>(options_.seconds * 1e9));
    for (unsigned i = 0; i < options_.concurrency; ++i) {
      connections_.push_back(std::make_unique<S3Connection>(pattern_));
      start_request(i, true);
    }
    while (active_ > 0) {
      std::array<epoll_event, 256> events;
      const int n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 30'000);
      if (n == 0)
        return DeadlineExceededError("no answer from " + options_.endpoint.host + " for 30 s");
      for (int i = 0; i < n; ++i)
        on_event(static_cast<unsigned>(events[static_cast<std::size_t>(i)].data.u32));
      if (report_.requests == 0 && report_.errors > 4 * options_.concurrency) {
        return UnavailableError(options_.endpoint.host + ": " + report_.first_error);
      }
    }
    report_.seconds = std::chrono::duration<double>(SteadyClock::now() - begin).count();
    report_.client_cpu_seconds = cpu_seconds() - cpu_before;
    return std::move(report_);
  }

 private:
  bool time_is_up() const { return options_.seconds > 0 && SteadyClock::now() >= deadline_; }

  void start_request(unsigned index, bool fresh) {
    S3Connection& connection = *connections_[index];
    if (workload_.exhausted() || time_is_up()) {
      if (!fresh) --active_;
      return;
    }
    if (fresh) ++active_;
    if (fresh || !connection.keep_alive() || broken_) {
      broken_ = false;
      if (!connection.connect(options_.endpoint.address, options_.endpoint.port))
        return fail(index);
      epoll_event event{};
      event.events = EPOLLIN | EPOLLOUT | EPOLLET;
      event.data.u32 = index;
      epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd(), &event);
    }
    workload_.count_start();
    connection.begin(workload_.next());
    if (connection.send() == S3Connection::Progress::kBroken) fail(index);
  }

  void on_event(unsigned index) {
    S3Connection& connection = *connections_[index];
    if (connection.send() == S3Connection::Progress::kBroken) return fail(index);
    switch (connection.receive()) {
      case S3Connection::Progress::kWaiting: return;
      case S3Connection::Progress::kBroken: return fail(index);
      case S3Connection::Progress::kDone: break;
    }
    finish(connection);
    start_request(index, false);
  }

  void finish(const S3Connection& connection) {
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(SteadyClock::now() -
                                                                            connection.started());
    report_.bytes += connection.body_received() +
                     (connection.request().has_body ? connection.request().body_bytes : 0);
    if (connection.status() / 100 == 2 && !connection.mismatch()) {
      ++report_.requests;
      report_.latency_us.add(static_cast<std::uint64_t>(took.count()));
      return;
    }
    ++report_.errors;
    if (connection.mismatch()) ++report_.mismatches;
    if (report_.first_error.empty()) {
      report_.first_error =
          connection.mismatch() ? "the body is not what was put" : connection.error_text();
    }
  }

  void fail(unsigned index) {
    ++report_.errors;
    if (report_.first_error.empty()) report_.first_error = connections_[index]->error_text();
    if (++consecutive_failures_ > 1000) {
      --active_;
      return;
    }
    broken_ = true;
    start_request(index, false);
  }

  const S3LoadOptions& options_;
  Workload workload_;
  ObjectPattern pattern_;
  LoadReport report_;
  int epoll_ = -1;
  SteadyClock::time_point deadline_;
  std::vector<std::unique_ptr<S3Connection>> connections_;
  unsigned active_ = 0;
  unsigned consecutive_failures_ = 0;
  bool broken_ = false;  // the next start_request connects anew
};

}  // namespace

Result<S3Endpoint> parse_endpoint(const std::string& url) {
  S3Endpoint endpoint;
  std::string rest = url;
  if (rest.starts_with("https://"))
    return NotSupportedError("endpoint " + url + ": https is not supported here");
  if (rest.starts_with("http://")) rest = rest.substr(7);
  while (rest.ends_with('/')) rest.pop_back();
  endpoint.host = rest;
  const std::size_t colon = rest.rfind(':');
  std::string host = rest.substr(0, colon);
  if (colon != std::string::npos) {
    const char* end = rest.data() + rest.size();
    const auto parsed = std::from_chars(rest.data() + colon + 1, end, endpoint.port);
    if (parsed.ec != std::errc() || parsed.ptr != end)
      return InvalidArgumentError("endpoint " + url + ": bad port");
  }
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int err = getaddrinfo(host.c_str(), nullptr, &hints, &found); err != 0) {
    return InvalidArgumentError("endpoint " + url + ": " + gai_strerror(err));
  }
  char text[INET_ADDRSTRLEN];
  inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(found->ai_addr)->sin_addr, text, sizeof text);
  freeaddrinfo(found);
  endpoint.address = text;
  return endpoint;
}

Status load_credentials(const std::string& path, S3Endpoint* endpoint) {
  std::ifstream file(path);
  if (!file) return ErrnoError(errno, "credentials file " + path);
  const auto trim = [](std::string text) {
    const auto from = text.find_first_not_of(" \t\r");
    const auto to = text.find_last_not_of(" \t\r");
    return from == std::string::npos ? std::string() : text.substr(from, to - from + 1);
  };
  for (std::string line; std::getline(file, line);) {
    line = trim(line);
    if (line.starts_with('[') && !endpoint->access_key.empty() && !endpoint->secret_key.empty())
      break;
    const std::size_t equals = line.find('=');
    if (equals == std::string::npos) continue;
    const std::string key = trim(line.substr(0, equals));
    if (key == "aws_access_key_id") endpoint->access_key = trim(line.substr(equals + 1));
    if (key == "aws_secret_access_key") endpoint->secret_key = trim(line.substr(equals + 1));
  }
  if (endpoint->access_key.empty() || endpoint->secret_key.empty()) {
    return InvalidArgumentError("credentials file " + path +
                                " has no aws_access_key_id and aws_secret_access_key");
  }
  return OkStatus();
}

Result<S3Operation> parse_operation(const std::string& text) {
  constexpr std::array<std::pair<std::string_view, S3Operation>, 6> kNames{
      {{"put", S3Operation::kPut},
       {"get", S3Operation::kGet},
       {"head", S3Operation::kHead},
       {"delete", S3Operation::kDelete},
       {"list", S3Operation::kList},
       {"mixed", S3Operation::kMixed}}};
  for (const auto& [name, operation] : kNames) {
    if (text == name) return operation;
  }
  return InvalidArgumentError("--op " + text + ": expected put, get, head, delete, list or mixed");
}

Status ensure_bucket(const S3Endpoint& endpoint, const std::string& bucket) {
  ObjectPattern pattern;
  S3Connection connection(pattern);
  S3Request request;
  const std::string path = "/" + bucket;
  request.head = "PUT " + path + " HTTP/1.1\r\n";
  S3Signer(endpoint).append_headers("PUT", path, "", "UNSIGNED-PAYLOAD", &request.head);
  request.head += "Content-Length: 0\r\n\r\n";
  if (!connection.connect(endpoint.address, endpoint.port))
    return ErrnoError(errno, "connect to " + endpoint.host);
  connection.begin(std::move(request));
  const auto give_up = SteadyClock::now() + std::chrono::seconds(10);
  while (SteadyClock::now() < give_up) {
    auto progress = connection.send();
    if (progress != S3Connection::Progress::kBroken) progress = connection.receive();
    if (progress == S3Connection::Progress::kBroken) {
      return UnavailableError(endpoint.host + ": " + connection.error_text());
    }
    if (progress == S3Connection::Progress::kDone) {
      if (connection.status() / 100 == 2 || connection.status() == 409) return OkStatus();
      return InternalError("creating bucket " + bucket + ": " + connection.error_text());
    }
    usleep(1000);
  }
  return DeadlineExceededError("no answer from " + endpoint.host);
}

Result<LoadReport> run_s3_load(const S3LoadOptions& options) { return LoadLoop(options).run(); }

}  // namespace shoal::tools
