#include "s3compat/server.h"

#include "base/encoding.h"
#include "base/random.h"
#include "s3compat/limits.h"
#include "s3compat/router.h"

namespace shoal::s3compat {
namespace {

// Path style, or virtual-host style under one of our domains.
void split_target(const std::string& path, const std::string& host,
                  const std::vector<std::string>& domains, S3Request* request) {
  std::string name = host.substr(0, host.rfind(':'));
  for (const std::string& domain : domains) {
    if (name.size() > domain.size() + 1 && name.ends_with("." + domain)) {
      request->bucket = name.substr(0, name.size() - domain.size() - 1);
      request->key = path.substr(1);
      return;
    }
  }
  const std::size_t slash = path.find('/', 1);
  request->bucket = path.substr(1, slash == std::string::npos ? slash : slash - 1);
  if (slash != std::string::npos) request->key = path.substr(slash + 1);
}

}  // namespace

Result<std::unique_ptr<S3Server>> S3Server::listen(EventLoop& loop, S3ServerOptions options,
                                                   const Credentials& credentials,
                                                   client::ObjectApi& store) {
  const std::string address = options.address;
  std::unique_ptr<S3Server> server(new S3Server(loop, std::move(options), credentials, store));
  S3Server* raw = server.get();
  ASSIGN_OR_RETURN(
      server->http_,
      HttpServer::listen(loop, address, [raw](const HttpRequest* request, RequestBody* body) {
        return raw->serve(request, body);
      }));
  return server;
}

S3Server::S3Server(EventLoop& loop, S3ServerOptions options, const Credentials& credentials,
                   client::ObjectApi& store)
    : options_(std::move(options)),
      store_(store),
      md5_(loop),
      verifier_(credentials, options_.region, loop.clock()),
      id_prefix_(random_uuid().substr(0, 8)) {}

Task<void> S3Server::stop() {
  co_await http_->stop();
  co_await yield();  // what was posted for this object has run
}

Task<HttpResponse> S3Server::serve(const HttpRequest* http, RequestBody* body) {
  S3Request request;
  request.http = http;
  request.body = body;
  request.store = &store_;
  request.md5 = &md5_;
  request.region = options_.region;
  request.request_id = id_prefix_ + std::to_string(++request_count_);
  HttpResponse response;
  const auto path = percent_decode(http->path, false);
  auto query = parse_query(http->query);
  if (!path || !query) {
    response =
        error_response(request, s3_error(400, "InvalidURI", "Couldn't parse the specified URI."));
  } else {
    request.query = std::move(*query);
    split_target(*path, http->header("host"), options_.domains, &request);
    const bool form =
        http->method == "POST" && http->header("content-type").starts_with("multipart/form-data");
    if (form) {  // signed inside the form
      response = error_response(request, not_implemented("PostObject"));
    } else if (auto refused = verifier_.verify(*http, *path, request.query, &request.signer)) {
      response = error_response(request, *refused);
    } else if (request.key.size() > kMaxKeyBytes) {
      response = error_response(request, s3_error(400, "KeyTooLongError", "Your key is too long"));
    } else {
      const Route found = route(request);
      if (found.handler == nullptr) {
        response = error_response(request, not_implemented(found.operation));
      } else {
        response = co_await found.handler(&request);
      }
    }
  }
  response.headers.emplace_back("x-amz-request-id", request.request_id);
  response.headers.emplace_back("Server", "Shoal");
  response.headers.emplace_back("Date", http_time(system_clock().wall_now_ns()));
  co_return response;
}

}  // namespace shoal::s3compat
