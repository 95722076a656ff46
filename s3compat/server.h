// S3Server: the S3 door on one event loop: HTTP, authentication, routing. Several loops run one
// each. Stateless.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "client/object_api.h"
#include "s3compat/auth/credentials.h"
#include "s3compat/auth/md5_batch.h"
#include "s3compat/auth/sigv4.h"
#include "s3compat/http/http_server.h"

namespace shoal::s3compat {

struct S3ServerOptions {
  std::string address;  // HOST:PORT
  std::string region = "us-east-1";
  std::vector<std::string> domains;  // of virtual-host style: BUCKET.DOMAIN
};

class S3Server {
 public:
  // Listens; `store` and `credentials` outlive the server. Errors: as HttpServer::listen.
  static Result<std::unique_ptr<S3Server>> listen(EventLoop& loop, S3ServerOptions options,
                                                  const Credentials& credentials,
                                                  client::ObjectApi& store);
  // On the loop.
  Status start() { return http_->start(); }
  Task<void> stop();
  std::uint16_t port() const { return http_->port(); }
  std::uint64_t request_count() const { return request_count_; }

 private:
  S3Server(EventLoop& loop, S3ServerOptions options, const Credentials& credentials,
           client::ObjectApi& store);
  Task<HttpResponse> serve(const HttpRequest* http, RequestBody* body);

  S3ServerOptions options_;
  client::ObjectApi& store_;
  Md5Batch md5_;
  SigV4Verifier verifier_;
  std::unique_ptr<HttpServer> http_;
  std::uint64_t request_count_ = 0;
  const std::string id_prefix_;
};

}  // namespace shoal::s3compat
