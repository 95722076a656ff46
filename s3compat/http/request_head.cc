#include "s3compat/http/request_head.h"

#include <algorithm>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

#include "s3compat/limits.h"

namespace shoal::s3compat {
namespace {

namespace http = boost::beast::http;

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

}  // namespace

int parse_head(std::string_view head, HttpRequest* request) {
  http::request_parser<http::empty_body> parser;
  parser.header_limit(kMaxHeadBytes);
  parser.skip(true);  // the body is read by the connection
  boost::system::error_code error;
  parser.put(boost::asio::buffer(head.data(), head.size()), error);
  if (error == http::error::header_limit) return 431;
  if (error && error != http::error::need_more)
    return error == http::error::bad_version ? 505 : 400;
  if (!parser.is_header_done()) return 400;
  const auto& message = parser.get();
  if (message.version() != 11 && message.version() != 10) return 505;
  request->method = std::string(message.method_string());
  const std::string target(message.target());
  if (target.empty() || target[0] != '/') return 400;
  const std::size_t question = target.find('?');
  request->path = target.substr(0, question);
  if (question != std::string::npos) request->query = target.substr(question + 1);
  for (const auto& field : message) {
    request->headers.emplace_back(lower({field.name_string().data(), field.name_string().size()}),
                                  std::string(field.value()));
  }
  // As AWS: a length is needed, chunks or not.
  if (parser.chunked()) return 411;
  if (message.count(http::field::transfer_encoding) > 0) return 501;
  const auto hosts = message.count(http::field::host);
  if (hosts > 1 || (hosts == 0 && message.version() == 11)) return 400;
  if (const auto length = parser.content_length()) {
    request->content_length = *length;
    request->has_length = true;
  }
  request->keep_alive = message.keep_alive();
  return 0;
}

std::string_view reason_of(int status) {
  const auto text = http::obsolete_reason(static_cast<http::status>(status));
  return {text.data(), text.size()};
}

}  // namespace shoal::s3compat
