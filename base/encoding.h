// Text forms of bytes: hexadecimal, base64 (RFC 4648), percent-encoding (RFC 3986, as AWS uses it).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace shoal {

// Lower case.
std::string hex_encode(std::string_view bytes);
std::optional<std::string> hex_decode(std::string_view text);
std::string base64_encode(std::string_view bytes);
std::optional<std::string> base64_decode(std::string_view text);
// Everything but A-Z a-z 0-9 - . _ ~ as %XX; '/' stays with `keep_slash`.
std::string percent_encode(std::string_view bytes, bool keep_slash);
// %XX to bytes; with `plus_is_space`, '+' too. Nothing for a broken escape.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);

}  // namespace shoal
